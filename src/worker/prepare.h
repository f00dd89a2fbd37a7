#pragma once

#include <future>

#include "weights/weight_spec.h"

namespace bolide {

// Prepares a GPU for the products of the model's layers (prepare_gemms() in ops/tune.h) beside the load of
// its weights, on a thread of its own; a full GPU does without, and for a small model there is no future.
// Wait for it, with get(), which throws what went wrong, or by destroying it, before memory is counted.
std::future<void> prepare_library(const Context& context, const std::vector<WeightSpec>& weights,
                                  const Dist& dist, DType data_type, int64_t most_tokens);

}  // namespace bolide
