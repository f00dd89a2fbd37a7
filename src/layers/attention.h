#pragma once

#include <span>

#include "cache/kv_cache.h"
#include "layers/linear.h"
#include "layers/rotary.h"

namespace bolide {

// Norms of q and k before they turn.
enum class HeadNorms : uint8_t {
  kNone,
  kShared,    // of each head's elements, with the same weights for all heads
  kEachHead,  // of each head's elements, with weights for each
  kRow,       // of all heads' elements as one row
};

// Causal self-attention over the paged cache, this rank's heads.
struct SelfAttention {
  Linear qkv;  // [(heads + 2 kv_heads) * head_size, hidden]: rows q | k | v
  Linear out;  // [hidden, heads * head_size]
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  float scale = 1.0f;  // of q.k
  int64_t window = 0;  // see AttentionMask
  Tensor alibi;        // [heads] slopes, or empty
  float soft_cap = 0;  // of scores; 0: none
  HeadNorms head_norms = HeadNorms::kNone;
  LayerNorm q_norm, k_norm;  // as head_norms says
  int64_t rotary = 0;        // which of the model's kinds of rotary positions; below 0: none

  // hidden [T, hidden] fp32 += after(the projected attention of norm(hidden)); an empty norm is none.
  // `kinds`: the angles of each kind.
  void add_to(const Context& context, const KvView& kv, int64_t layer, const Norm& norm,
              std::span<const RotaryAngles> kinds, const LayerNorm& after, const View& hidden) const;

 private:
  void norm_heads(const Context& context, const View& q, const View& k) const;
};

}  // namespace bolide
