#pragma once

#include <algorithm>
#include <functional>
#include <limits>

#include "tensor/context.h"

// What measurements on a GPU share.
namespace bolide::cuda {

// Random values in [-1, 1), the same each time: a multiplier that sees zeros draws less power and clocks
// higher than in a model. fp32, fp16 or bf16, contiguous.
void fill_noise(const Context& context, const View& values);

// max |a - b| / max |a|, over views of one shape and dtype, contiguous; infinite where either holds a NaN or
// an infinity. Waits for the stream.
double relative_difference(const Context& context, const View& a, const View& b);

// Of what `work` puts on the context's stream, from event to event.
double seconds_of(const Context& context, const std::function<void()>& work);

// Of several runs, after one that is not counted.
inline double best_seconds(const Context& context, int runs, const std::function<void()>& work) {
  seconds_of(context, work);
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) best = std::min(best, seconds_of(context, work));
  return best;
}

}  // namespace bolide::cuda
