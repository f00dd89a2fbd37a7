#pragma once

#include "cache/kv_cache.h"
#include "layers/linear.h"

namespace bolide {

// Causal self-attention over the paged cache, this rank's heads.
struct SelfAttention {
  Linear qkv;  // [(heads + 2 kv_heads) * head_size, hidden]: rows q | k | v
  Linear out;  // [hidden, heads * head_size]
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  Tensor alibi;  // [heads] slopes, or empty

  // y [T, hidden] = this rank's part of the projected attention of x [T, hidden]; y must not overlap x.
  void forward(const Context& context, const KvView& kv, int64_t layer, const View& x, const View& y) const;
};

}  // namespace bolide
