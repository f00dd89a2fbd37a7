#pragma once

#include <cstdint>

namespace bolide {

/// How the next id is chosen; FasterTransformer's meanings. Validated by Engine::submit (kUsage).
struct SamplingParams {
  float temperature = 1.0f;  ///< > 0; divides the logits
  int32_t top_k = 0;         ///< 0 = off; 1 = greedy
  float top_p = 0.0f;  ///< in [0, 1]; 0 = off. top_k == 0 and top_p == 0 is greedy; both: top-k, then top-p
  /// A draw depends on the logits and (seed, Request::tag, position) alone: not on how requests are batched,
  /// nor on which of them came first.
  uint64_t seed = 0;
};

}  // namespace bolide
