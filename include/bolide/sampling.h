#pragma once

#include <cstdint>
#include <optional>

namespace bolide {

/// How the next id is chosen. FasterTransformer's meanings, but for a temperature that is given. Validated by
/// Engine::submit (kUsage).
struct SamplingParams {
  /// Divides the logits. Above 0 it draws, from the whole vocabulary unless top_k or top_p say less; 0 is
  /// greedy, whatever these say. Not given it is 1, and the choice is greedy unless top_k or top_p are on.
  std::optional<float> temperature = std::nullopt;
  int32_t top_k = 0;   ///< draw from so many likeliest ids; 0 or -1 = off; 1 = greedy
  float top_p = 0.0f;  ///< draw from the likeliest ids that hold this much, in [0, 1]; 0 = off. With top_k:
                       ///< top-k, then top-p
  /// A draw depends on the logits and (seed, Request::tag, position) alone: not on how requests are batched,
  /// nor on which of them came first.
  uint64_t seed = 0;
};

}  // namespace bolide
