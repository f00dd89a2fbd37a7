#include "comm/dist.h"

#include <gtest/gtest.h>

#include "support/expect_check.h"

namespace bolide {
namespace {

TEST(Dist, StagesTakeConsecutiveLayersAndTheFirstTakeTheRest) {
  int64_t next = 0;
  const int64_t sizes[] = {8, 7, 7};
  for (int stage = 0; stage < 3; ++stage) {
    const auto layers = Dist{.pipeline_size = 3, .pipeline_rank = stage}.stage_layers(22);
    EXPECT_EQ(layers.begin, next);
    EXPECT_EQ(layers.size(), sizes[stage]);
    next = layers.end;
  }
  EXPECT_EQ(next, 22);
}

TEST(Dist, VocabularyMayLeaveTheLastRanksShortOrEmpty) {
  EXPECT_EQ((Dist{.tensor_size = 4, .tensor_rank = 3}.vocab_part(10).begin), 9);
  EXPECT_EQ((Dist{.tensor_size = 4, .tensor_rank = 3}.vocab_part(10).size()), 1);
  EXPECT_EQ((Dist{.tensor_size = 4, .tensor_rank = 3}.vocab_part(3).size()), 0);
}

TEST(DistDeathTest, TensorPartMustDivide) {
  EXPECT_CHECK((Dist{.tensor_size = 3}.tensor_part(10)), "10 over 3");
}

}  // namespace
}  // namespace bolide
