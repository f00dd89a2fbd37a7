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
  EXPECT_NO_THROW(check_sampling({.temperature = 0, .top_k = -1}));
}

TEST(Sampling, BadParametersAreNamed) {
  for (float t : {-0.5f, -1.0f, kNan, kInfinity})
    EXPECT_ERROR(check_sampling({.temperature = t}), ErrorCode::kUsage, "temperature is");
  EXPECT_ERROR(check_sampling({.top_k = -2}), ErrorCode::kUsage, "top_k is -2");
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

// What the row draws from: "greedy", "all", or its top_k and top_p.
std::string choice(const SamplingParams& params) {
  const SampleRow row = make_sample_row(params, 0, 0);
  if (is_greedy(row)) return "greedy";
  if (row.top_k == 0 && row.top_p == 1) return "all";
  return fmt::format("{} {}", row.top_k, row.top_p);
}

TEST(Sampling, ATemperatureThatIsGivenDraws) {
  EXPECT_EQ(choice({}), "greedy");
  EXPECT_EQ(choice({.top_k = -1}), "greedy");
  EXPECT_EQ(choice({.top_k = 5}), "5 0");
  EXPECT_EQ(make_sample_row({.top_k = 5}, 0, 0).temperature, 1.0f);
  for (float t : {0.001f, 1.0f, 50.0f}) {
    EXPECT_EQ(choice({.temperature = t}), "all");
    EXPECT_EQ(choice({.temperature = t, .top_k = -1}), "all");
    EXPECT_EQ(choice({.temperature = t, .top_k = 1}), "greedy");
    EXPECT_EQ(choice({.temperature = t, .top_k = 3}), "3 0");
    EXPECT_EQ(choice({.temperature = t, .top_p = 0.5f}), "0 0.5");
  }
  // One over the last is infinite: no logit may be multiplied by it.
  for (float t : {0.0f, -0.0f, 1e-40f}) {
    EXPECT_EQ(choice({.temperature = t}), "greedy");
    EXPECT_EQ(choice({.temperature = t, .top_k = 3, .top_p = 0.5f}), "greedy");
    EXPECT_EQ(make_sample_row({.temperature = t}, 0, 0).temperature, 1.0f);
  }
}

}  // namespace
}  // namespace bolide
