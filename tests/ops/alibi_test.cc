#include <gtest/gtest.h>

#include "ops/attention.h"

namespace bolide {
namespace {

// The expected values are those of transformers' build_alibi_tensor, to the last bit: the base is a float32
// there, so that the square of 2^-0.5 falls short of 0.5.
TEST(AlibiSlopes, PowerOfTwoHeads) {
  EXPECT_EQ(alibi_slopes(1), std::vector<float>{0x1p-8f});
  const std::vector<float> slopes = alibi_slopes(16);
  ASSERT_EQ(slopes.size(), 16u);
  const std::vector<float> first = {0x1.6a09e6p-1f, 0x1.fffffep-2f, 0x1.6a09e6p-2f, 0x1.fffffep-3f,
                                    0x1.6a09e4p-3f, 0x1.fffffcp-4f, 0x1.6a09e4p-4f, 0x1.fffffcp-5f};
  EXPECT_EQ(std::vector<float>(slopes.begin(), slopes.begin() + 8), first);
  EXPECT_EQ(slopes[15], 0x1.fffff6p-9f);
}

TEST(AlibiSlopes, OtherHeadCounts) {
  EXPECT_EQ(alibi_slopes(3), (std::vector<float>{0x1p-4f, 0x1p-8f, 0x1p-2f}));
  EXPECT_EQ(alibi_slopes(12),
            (std::vector<float>{0x1p-1f, 0x1p-2f, 0x1p-3f, 0x1p-4f, 0x1p-5f, 0x1p-6f, 0x1p-7f, 0x1p-8f,
                                0x1.6a09e6p-1f, 0x1.6a09e6p-2f, 0x1.6a09e4p-3f, 0x1.6a09e4p-4f}));
  EXPECT_EQ(alibi_slopes(20).back(), 0x1.306fe2p-2f);
  const std::vector<float> many = alibi_slopes(112);
  ASSERT_EQ(many.size(), 112u);
  EXPECT_EQ(many[0], 0x1.d5818ep-1f);
  EXPECT_EQ(many[11], 0x1.6a09e8p-2f);
  EXPECT_EQ(many.back(), 0x1.0b557ep-6f);
}

}  // namespace
}  // namespace bolide
