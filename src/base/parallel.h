#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

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

// Runs body(i) for every i in [0, count), in any order, on this thread and up to `threads` - 1 others: on
// fewer where the system gives no more (a limit on processes or on memory). Rethrows the first exception once
// all have ended; after a fault the bodies that have not begun are skipped. Not on OpenMP's threads: when it
// gets none, libgomp ends the process.
template <class Body>
void parallel_for(int threads, int64_t count, const Body& body) {
  std::exception_ptr fault;
  std::mutex mutex;
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!fault) fault = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> others;
  try {
    for (int64_t t = 1; t < std::min<int64_t>(threads, count); ++t) others.emplace_back(work);
  } catch (const std::exception&) {  // the others do without it
  }
  work();
  for (std::thread& thread : others) thread.join();
  if (fault) std::rethrow_exception(fault);
}

}  // namespace bolide
