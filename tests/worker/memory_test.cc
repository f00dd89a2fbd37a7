#include "worker/memory.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/expect_error.h"

namespace bolide {
namespace {

TEST(GpuCache, OneRankTakesItsFractionInWholePages) {
  const std::vector<GpuShare> one = {{.gpu = "a", .free_bytes = 16000, .token_bytes = 10}};
  EXPECT_EQ(gpu_cache_tokens(one, 0.5, 16, 0), 800);
  EXPECT_EQ(gpu_cache_tokens(one, 0.5, 32, 0), 800);
  EXPECT_EQ(gpu_cache_tokens(one, 0.5, 33, 0), 792);
  EXPECT_EQ(gpu_cache_tokens(one, 0.5, 16, 800), 800);
}

// What nobody predicts is left over: 512 MiB, of a small or full GPU a half; unless a size is asked for.
TEST(GpuCache, AFractionOfOneLeavesALittle) {
  std::vector<GpuShare> one = {{.gpu = "a", .free_bytes = 16000, .token_bytes = 10}};
  EXPECT_EQ(gpu_cache_tokens(one, 1, 1, 0), 800);
  EXPECT_EQ(gpu_cache_tokens(one, 0.4, 1, 0), 640);
  EXPECT_EQ(gpu_cache_tokens(one, 1, 1, 1600), 1600);
  one[0].free_bytes = int64_t{100} << 30;
  EXPECT_EQ(gpu_cache_tokens(one, 1, 1, 0), ((int64_t{100} << 30) - kGpuSpareBytes) / 10);
  EXPECT_LT(gpu_cache_tokens(one, 0.99, 1, 0), gpu_cache_tokens(one, 1, 1, 0));
}

TEST(GpuCache, RanksOfOneGpuTakeTogetherWhatOneWould) {
  // A stage of more layers and a last one, which looked a moment later.
  const std::vector<GpuShare> two = {{.gpu = "a", .free_bytes = 100000, .token_bytes = 30},
                                     {.gpu = "a", .free_bytes = 90000, .token_bytes = 20}};
  for (const double fraction : {0.1, 0.3, 0.5}) {
    const int64_t tokens = gpu_cache_tokens(two, fraction, 16, 0);
    EXPECT_EQ(tokens % 16, 0);
    EXPECT_LE(static_cast<double>(tokens * 50), fraction * 90000);
    EXPECT_GT(static_cast<double>((tokens + 16) * 50), fraction * 90000);
  }
}

TEST(GpuCache, AllRanksHaveWhatTheFullestGpuAllows) {
  std::vector<GpuShare> four(4, {.gpu = "a", .free_bytes = 64000, .token_bytes = 10});
  four[1].gpu = std::string("b");
  four[2].gpu = std::string("c");  // "a" has the ranks 0 and 3
  EXPECT_EQ(gpu_cache_tokens(four, 0.5, 16, 0), 1600);
  four[2].free_bytes = 16000;
  EXPECT_EQ(gpu_cache_tokens(four, 0.5, 16, 0), 800);
}

TEST(GpuCache, TooLittleNamesTheGpuAndItsRanks) {
  std::vector<GpuShare> ranks(3, {.gpu = "the GPU at 1", .free_bytes = 8000, .token_bytes = 10});
  ranks[1].gpu = std::string("the GPU at 2");
  EXPECT_EQ(gpu_cache_tokens(ranks, 0.5, 16, 192), 192);
  EXPECT_ERROR(gpu_cache_tokens(ranks, 0.5, 16, 193), ErrorCode::kResource,
               "the GPU at 1 has 8000 bytes left for the cache of rank(s) 0, 2, 192 tokens of 20 bytes at a "
               "fraction of 0.5: lower max_kv_tokens");
  ranks[1].free_bytes = 100;  // nobody asked for a size, and there is none
  EXPECT_ERROR(
      gpu_cache_tokens(std::span(ranks).subspan(1, 1), 0.5, 16, 0), ErrorCode::kResource,
      "the GPU at 2 has 100 bytes left for the cache, 0 tokens of 10 bytes at a fraction of 0.5: end what "
      "else runs there");
  ranks[1].free_bytes = 0;
  EXPECT_ERROR(gpu_cache_tokens(std::span(ranks).subspan(1, 1), 1, 16, 0), ErrorCode::kResource,
               "0 bytes left");
}

// On the CPU, where nobody asks for a size.
TEST(CpuCache, HoldsWholePagesInHalfTheMemory) {
  EXPECT_EQ(default_kv_tokens(64, 16, 1000, int64_t{1} << 40), 64 * 2048);
  EXPECT_EQ(default_kv_tokens(64, 16, 1000, 1000000), 496);  // half the memory, whole pages
  EXPECT_EQ(default_kv_tokens(64, 16, 1000, 0), 16);
}

}  // namespace
}  // namespace bolide
