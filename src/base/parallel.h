#pragma once

#include <omp.h>

#include <cstdint>
#include <exception>
#include <mutex>

namespace bolide {

// Ends the OpenMP team of the calling thread when the scope ends. OpenMP keeps one sleeping team for every
// thread that ever opened a parallel region, and once they outnumber the cores libgomp no longer spins
// between regions: each of the 200 regions of a decode step then costs a wake-up, 9 of 44 ms of bloom-560m in
// bf16 on two cores. So whoever computes on a caller's thread, beside the engine's own, holds one of these.
class TeamScope {
 public:
  TeamScope() = default;
  ~TeamScope() { omp_pause_resource_all(omp_pause_soft); }
  TeamScope(const TeamScope&) = delete;
  TeamScope& operator=(const TeamScope&) = delete;
};

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
