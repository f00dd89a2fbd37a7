#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <exception>

#include "tensor/context.h"

namespace bolide::cpu {

// The context for so many elements of light work: under 32 Ki of them (a few microseconds) the other threads
// are not worth waking.
inline Context for_light_work(const Context& context, int64_t elements) {
  Context chosen = context;
  if (elements < 32768) chosen.threads = 1;
  return chosen;
}

// Runs f(begin, end) over a static partition of [0, count) into one range per thread. Every output belongs to
// one index, so the number of threads never changes a result. Rethrows
// one of the exceptions (no memory for scratch) once all ranges have ended.
template <class F>
void parallel_ranges(const Context& context, int64_t count, F&& f) {
  const int64_t threads = std::min<int64_t>(context.threads, count);
  if (threads <= 1) {
    if (count > 0) f(int64_t{0}, count);
    return;
  }
  // Always the whole team, also for fewer ranges: libgomp ends the threads that a smaller team leaves over,
  // and makes them again for the next larger one.
  std::exception_ptr fault;
#pragma omp parallel num_threads(context.threads)
  {
    const int64_t parts = std::min<int64_t>(omp_get_num_threads(), threads), part = omp_get_thread_num();
    const int64_t begin = count * part / parts, end = part < parts ? count * (part + 1) / parts : begin;
    try {
      if (begin < end) f(begin, end);
    } catch (...) {
#pragma omp critical(bolide_ranges)
      fault = std::current_exception();
    }
  }
  if (fault) std::rethrow_exception(fault);
}

}  // namespace bolide::cpu
