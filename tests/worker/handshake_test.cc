#include "worker/handshake.h"

#include "support/expect_error.h"
#include "support/on_ranks.h"

namespace bolide {
namespace {

TEST(Alike, RanksThatAreSayNothing) {
  test::on_ranks(3, [](Communicator&, Transport& world) { check_alike(world, "a\nb\n"); });
}

TEST(Alike, EveryRankNamesTheFirstThatDiffers) {
  test::on_ranks(4, [](Communicator&, Transport& world) {
    const std::string mine = world.rank() == 2 ? "a\nc\n" : world.rank() == 3 ? "x\nb\n" : "a\nb\n";
    EXPECT_ERROR(check_alike(world, mine), ErrorCode::kUsage, "rank 2 has 'c' instead of 'b'");
  });
  test::on_ranks(2, [](Communicator&, Transport& world) {
    EXPECT_ERROR(check_alike(world, world.rank() == 0 ? "a\n" : "a\nb\n"), ErrorCode::kUsage,
                 "rank 1 has 'b' instead of ''");
  });
}

TEST(Alike, SettingsHoldWhatChangesTheWork) {
  RankConfig config;
  config.model.path = BOLIDE_SOURCE_DIR "/tests/golden/heads3_fp32";
  const std::string before = common_settings(config);
  EXPECT_EQ(before, common_settings(config));
  config.model.data_type = DType::kF16;
  EXPECT_NE(before, common_settings(config));
  config.model.data_type.reset();
  config.model.path = BOLIDE_SOURCE_DIR "/tests/golden/heads3_postln_fp32";
  EXPECT_NE(before, common_settings(config));
}

}  // namespace
}  // namespace bolide
