#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "support/limited_child.h"

namespace bolide {
namespace {

TEST(ParallelFor, RunsEachBodyOnce) {
  for (const int threads : {-1, 0, 1, 3, 100}) {
    for (const int64_t count : {0, 1, 2, 50}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
      parallel_for(threads, count, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
      for (const auto& each : runs) EXPECT_EQ(each, 1);
    }
  }
}

TEST(ParallelFor, RunsOnSoManyThreads) {
  // Each body waits for all others, so they cannot have run one after another.
  constexpr int kThreads = 4;
  std::atomic<int> here{0};
  parallel_for(kThreads, kThreads, [&](int64_t) {
    ++here;
    while (here < kThreads) std::this_thread::yield();
  });
  EXPECT_EQ(here, kThreads);
}

TEST(ParallelFor, AFaultSkipsWhatHasNotBegun) {
  int runs = 0;
  EXPECT_THROW(parallel_for(1, 10,
                            [&](int64_t i) {
                              ++runs;
                              if (i == 3) throw std::runtime_error("three");
                            }),
               std::runtime_error);
  EXPECT_EQ(runs, 4);
  EXPECT_THROW(parallel_for(4, 10, [&](int64_t) { throw std::runtime_error("each"); }), std::runtime_error);
}

TEST(ParallelFor, DoesWithFewerThreadsThanItWants) {
  if (!kCanLimitMemory) GTEST_SKIP() << "no limit on memory under a sanitizer";
  EXPECT_EQ(in_limited_child(1 << 20,  // not a stack of 8 MiB
                             [] {
                               std::atomic<int> runs{0};
                               parallel_for(100, 200, [&](int64_t) { ++runs; });
                               return runs == 200 ? "" : "not all bodies ran";
                             }),
            "");
}

}  // namespace
}  // namespace bolide
