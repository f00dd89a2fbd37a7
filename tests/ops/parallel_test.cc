#include "ops/cpu/parallel.h"

#include <gtest/gtest.h>

#include <new>
#include <vector>

#include "ops/limits.h"

namespace bolide::cpu {
namespace {

TEST(ParallelRanges, EachIndexIsDoneOnce) {
  for (int threads : {1, 2, 3, 5}) {
    for (int64_t count : {0, 1, 2, 4, 17}) {
      std::vector<int> done(static_cast<size_t>(count));
      parallel_ranges({.threads = threads}, count, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++done[static_cast<size_t>(i)];
      });
      EXPECT_EQ(done, std::vector<int>(static_cast<size_t>(count), 1)) << threads << " threads";
    }
  }
}

// Out of memory for scratch, say: an exception that leaves a parallel region would end the process.
TEST(ParallelRanges, AnExceptionComesOutOfIt) {
  for (int threads : {1, 2, 4}) {
    for (int64_t at : {0, 3, 7}) {
      EXPECT_THROW(parallel_ranges({.threads = threads}, 8,
                                   [&](int64_t begin, int64_t end) {
                                     if (begin <= at && at < end) throw std::bad_alloc();
                                   }),
                   std::bad_alloc);
    }
  }
}

TEST(Limits, PagesHaveNumbersThatKernelsCanHold) {
  constexpr int64_t kMax31 = (int64_t{1} << 31) - 1, kMax32 = (int64_t{1} << 32) - 1;
  EXPECT_EQ(most_pages(Device::kCpu, 1000, 16), kMax31 - 1);
  for (int64_t heads : {1, 2, 3, 112, 70000}) {
    for (int64_t page : {1, 16, 100}) {
      const int64_t most = most_pages(Device::kCuda, heads, page) + 1;  // with the one for padding
      EXPECT_LE(most * page, kMax31);
      EXPECT_LE(most * page * heads, kMax32);
      EXPECT_TRUE((most + 1) * page > kMax31 || (most + 1) * page * heads > kMax32) << heads << " " << page;
    }
  }
}

}  // namespace
}  // namespace bolide::cpu
