#pragma once

#include <cstdint>
#include <exception>
#include <mutex>

namespace bolide {

// Runs body(i) for every i in [0, count), in any order, on `threads` OpenMP threads; rethrows the first
// exception once all have ended. After a fault the bodies that have not begun are skipped.
template <class Body>
void parallel_for(int threads, int64_t count, const Body& body) {
  std::exception_ptr fault;
  std::mutex mutex;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) {
    {
      std::lock_guard lock(mutex);
      if (fault) continue;
    }
    try {
      body(i);
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!fault) fault = std::current_exception();
    }
  }
  if (fault) std::rethrow_exception(fault);
}

}  // namespace bolide
