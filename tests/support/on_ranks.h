#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <numeric>
#include <thread>

#include "comm/communicator.h"

namespace bolide::test {

// Runs `body` on CPU ranks at once, threads of this process: `size` of them, or those of `group` in a world
// of `size`. A fault of any is a failed test.
inline void on_ranks(int size, const std::function<void(Communicator&, Transport&)>& body,
                     std::vector<int> group = {}) {
  const auto transports = make_thread_transports(size, std::chrono::seconds(20));
  if (group.empty()) {
    group.resize(static_cast<size_t>(size));
    std::iota(group.begin(), group.end(), 0);
  }
  std::vector<std::thread> threads;
  for (int rank : group) {
    threads.emplace_back([&, rank] {
      Transport& world = *transports[static_cast<size_t>(rank)];
      try {
        body(*make_host_communicator(world, group, Channel::kTensor), world);
      } catch (const std::exception& e) {
        ADD_FAILURE() << "rank " << rank << ": " << e.what();
        world.abort(e.what());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace bolide::test
