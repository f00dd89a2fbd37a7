#include "runtime/memory.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/expect_error.h"

namespace bolide {
namespace {

TEST(GpuCache, OneRankTakesItsFractionInWholePages) {
  const std::vector<GpuShare> one = {{.gpu = "a", .free_bytes = 10100, .step_bytes = 100, .token_bytes = 10}};
  EXPECT_EQ(gpu_cache_tokens(one, 1, 16, 0), 992);
  EXPECT_EQ(gpu_cache_tokens(one, 0.5, 16, 0), 496);
  EXPECT_EQ(gpu_cache_tokens(one, 1, 16, 992), 992);
}

TEST(GpuCache, RanksOfOneGpuTakeTogetherWhatOneWould) {
  // A stage of more layers and a last one with its logits.
  const std::vector<GpuShare> two = {
      {.gpu = "a", .free_bytes = 100000, .step_bytes = 1000, .token_bytes = 30},
      {.gpu = "a", .free_bytes = 99000, .step_bytes = 8000, .token_bytes = 20}};
  for (const double fraction : {0.1, 0.9, 1.0}) {
    const int64_t tokens = gpu_cache_tokens(two, fraction, 16, 0);
    EXPECT_EQ(tokens % 16, 0);
    EXPECT_LE(static_cast<double>(tokens * 50), fraction * 90000);
    EXPECT_GT(static_cast<double>((tokens + 16) * 50), fraction * 90000);
  }
}

TEST(GpuCache, AllRanksHaveWhatTheFullestGpuAllows) {
  std::vector<GpuShare> four(4, {.gpu = "a", .free_bytes = 64000, .step_bytes = 0, .token_bytes = 10});
  four[1].gpu = std::string("b");
  four[2].gpu = std::string("c");  // "a" has the ranks 0 and 3
  EXPECT_EQ(gpu_cache_tokens(four, 1, 16, 0), 3200);
  four[2].free_bytes = 16000;
  EXPECT_EQ(gpu_cache_tokens(four, 1, 16, 0), 1600);
}

TEST(GpuCache, TooLittleNamesTheGpuAndItsRanks) {
  std::vector<GpuShare> ranks(
      3, {.gpu = "the GPU at 1", .free_bytes = 5000, .step_bytes = 500, .token_bytes = 10});
  ranks[1].gpu = std::string("the GPU at 2");
  EXPECT_EQ(gpu_cache_tokens(ranks, 1, 16, 192), 192);
  EXPECT_ERROR(gpu_cache_tokens(ranks, 1, 16, 193), ErrorCode::kResource,
               "the GPU at 1 has 4000 bytes left for the cache of rank(s) 0, 2, 192 tokens of 20 bytes");
  ranks[1].step_bytes = 6000;
  EXPECT_ERROR(gpu_cache_tokens(std::span(ranks).subspan(1, 1), 1, 16, 0), ErrorCode::kResource,
               "the GPU at 2 has 0 bytes left for the cache, 0 tokens");
}

}  // namespace
}  // namespace bolide
