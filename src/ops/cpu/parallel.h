#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "tensor/context.h"

namespace bolide::cpu {

// Runs f(begin, end) over a static partition of [0, count) into one range per thread. Every output belongs to
// one index, so the number of threads never changes a result. f must not throw.
template <class F>
void parallel_ranges(const Context& context, int64_t count, F&& f) {
  const int64_t threads = std::min<int64_t>(context.threads, count);
  if (threads <= 1) {
    if (count > 0) f(int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(static_cast <int>(threads))
  {
    const int64_t parts = omp_get_num_threads(), part = omp_get_thread_num();
    const int64_t begin = count * part / parts, end = count * (part + 1) / parts;
    if (begin < end) f(begin, end);
  }
}

}  // namespace bolide::cpu
