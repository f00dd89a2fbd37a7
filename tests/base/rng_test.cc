#include "base/rng.h"

#include <gtest/gtest.h>

#include <set>

namespace bolide {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers that Random123 publishes for philox4x32 with 10 rounds (zeros, ones, digits of pi).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32(0, {0, 0, 0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32(~uint64_t{0}, {~0u, ~0u, ~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, IsEvaluatedAtCompileTime) { static_assert(philox4x32(0, {0, 0, 0, 0})[0] == 0x6627e8d5); }

TEST(Philox, KeyAndEveryCounterWordMatter) {
  std::set<Words> seen{philox4x32(1, {1, 2, 3, 4})};
  EXPECT_TRUE(seen.insert(philox4x32(2, {1, 2, 3, 4})).second);
  EXPECT_TRUE(seen.insert(philox4x32(uint64_t{1} << 32 | 1, {1, 2, 3, 4})).second);
  for (int word = 0; word < 4; ++word) {
    Words counter{1, 2, 3, 4};
    counter[word] += 1;
    EXPECT_TRUE(seen.insert(philox4x32(1, counter)).second) << "word " << word;
  }
}

TEST(ToUnitFloat, StaysInsideTheOpenInterval) {
  EXPECT_GT(to_unit_float(0), 0.0f);
  EXPECT_LT(to_unit_float(~0u), 1.0f);
  EXPECT_EQ(to_unit_float(0), 0x1.0p-24f);
  EXPECT_NEAR(to_unit_float(0x80000000u), 0.5f, 1e-6f);
}

TEST(ToUnitFloat, MeanAndVarianceAreUniform) {
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0;
  for (uint32_t i = 0; i < kDraws; ++i) {
    const double u = to_unit_float(philox4x32(42, {i, 0, 0, 0})[0]);
    sum += u;
    squares += u * u;
  }
  const double mean = sum / kDraws;
  EXPECT_NEAR(mean, 0.5, 0.004);  // 4 standard errors: sqrt(1/12 / 1e5) = 0.0009
  EXPECT_NEAR(squares / kDraws - mean * mean, 1.0 / 12, 0.002);
}

}  // namespace
}  // namespace bolide
