#include "decode/sampling.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace bolide {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Sampling, DefaultsAndEdgesAreAllowed) {
  EXPECT_NO_THROW(check_sampling({}));
  EXPECT_NO_THROW(check_sampling({.temperature = 0.001f, .top_k = 1 << 30, .top_p = 1}));
}

TEST(Sampling, BadParametersAreNamed) {
  for (float t : {0.0f, -1.0f, kNan, kInfinity})
    EXPECT_ERROR(check_sampling({.temperature = t}), ErrorCode::kUsage, "temperature is");
  EXPECT_ERROR(check_sampling({.top_k = -1}), ErrorCode::kUsage, "top_k is -1");
  for (float p : {-0.1f, 1.1f, kNan})
    EXPECT_ERROR(check_sampling({.top_p = p}), ErrorCode::kUsage, "top_p is");
}

TEST(Sampling, RowCarriesEverything) {
  const SampleRow row =
      make_sample_row({.temperature = 0.5f, .top_k = 3, .top_p = 0.25f, .seed = 11}, 22, 33);
  EXPECT_EQ(row.temperature, 0.5f);
  EXPECT_EQ(row.top_k, 3);
  EXPECT_EQ(row.top_p, 0.25f);
  EXPECT_EQ(row.seed, 11u);
  EXPECT_EQ(row.request, 22u);
  EXPECT_EQ(row.position, 33u);
}

}  // namespace
}  // namespace bolide
