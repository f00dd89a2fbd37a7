#pragma once

#include "cache/kv_cache.h"
#include "layers/linear.h"
#include "layers/rotary.h"

namespace bolide {

// Causal self-attention over the paged cache, this rank's heads.
struct SelfAttention {
  Linear qkv;  // [(heads + 2 kv_heads) * head_size, hidden]: rows q | k | v
  Linear out;  // [hidden, heads * head_size]
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  float scale = 1.0f;  // of q.k
  int64_t window = 0;  // see AttentionMask
  Tensor alibi;        // [heads] slopes, or empty

  // hidden [T, hidden] fp32 += the projected attention of norm(hidden); an empty norm is none, and so are
  // empty angles.
  void add_to(const Context& context, const KvView& kv, int64_t layer, const Norm& norm,
              const RotaryAngles& angles, const View& hidden) const;
};

}  // namespace bolide
