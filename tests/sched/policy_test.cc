#include "sched/policy.h"

#include <gmock/gmock.h>

#include "sched/line_fit.h"

namespace bolide {
namespace {

using ::testing::ElementsAre;

int64_t admit_of(std::vector<int64_t> waiting, int64_t free, int64_t running, int64_t max_batch) {
  return admit(waiting, free, running, max_batch);
}

TEST(Admit, TakesWhatFits) {
  EXPECT_EQ(admit_of({}, 10, 0, 4), 0);
  EXPECT_EQ(admit_of({3, 3, 3}, 9, 0, 4), 3);
  EXPECT_EQ(admit_of({3, 3, 3}, 8, 0, 4), 2);
  EXPECT_EQ(admit_of({10}, 9, 0, 4), 0);
}

TEST(Admit, BatchSizeIsALimit) {
  EXPECT_EQ(admit_of({1, 1, 1}, 9, 2, 4), 2);
  EXPECT_EQ(admit_of({1, 1, 1}, 9, 4, 4), 0);
}

TEST(Admit, NobodyOvertakes) { EXPECT_EQ(admit_of({2, 8, 1, 1}, 9, 0, 4), 1); }

std::vector<int64_t> rows_of(std::vector<Progress> running, int64_t max_chunk) {
  std::vector<int64_t> rows = {99};
  plan_rows(running, {.prompt_tokens = max_chunk}, rows);
  return rows;
}

TEST(PlanRows, DecodeIsOneRowWhateverTheBudget) {
  EXPECT_THAT(rows_of({{.known = 8, .cached = 7, .prompt = 4}, {.known = 5, .cached = 0, .prompt = 5}}, 2),
              ElementsAre(1, 2));
}

TEST(PlanRows, PromptsShareTheBudgetInOrder) {
  EXPECT_THAT(rows_of({{.known = 5, .cached = 2, .prompt = 5},
                       {.known = 9, .cached = 8, .prompt = 8},
                       {.known = 6, .cached = 0, .prompt = 6},
                       {.known = 7, .cached = 0, .prompt = 7}},
                      8),
              ElementsAre(3, 1, 5, 0));
}

TEST(PlanRows, OneTokenPromptIsAPrompt) {
  EXPECT_THAT(rows_of({{.known = 4, .cached = 0, .prompt = 4}, {.known = 1, .cached = 0, .prompt = 1}}, 4),
              ElementsAre(4, 0));
}

// Steps of equal cost for each stage.
std::vector<StageTime> equal_stages(int count, double fixed, double token) {
  return std::vector<StageTime>(static_cast<size_t>(count), {.fixed_seconds = fixed, .token_seconds = token});
}

TEST(PlanRows, DecodeTakesTheReadyAsFarAsTheLimitGoes) {
  std::vector<int64_t> rows;
  const Progress ready = {.known = 8, .cached = 7, .prompt = 4};
  Progress on_its_way = ready;
  on_its_way.ready = false;
  plan_rows(std::vector{ready, on_its_way, ready, ready}, {.decode_rows = 2}, rows);
  EXPECT_THAT(rows, ElementsAre(1, 0, 1, 0));
}

TEST(MicroBatch, ManySmallStepsWhereTheyAreFree) {
  // Without a fixed part as small as allowed, with nothing but a fixed part as few as possible.
  EXPECT_EQ(micro_batch_tokens(1024, equal_stages(4, 0, 1), 512), 32);
  EXPECT_EQ(micro_batch_tokens(1024, equal_stages(4, 1, 0), 512), 512);
  EXPECT_EQ(micro_batch_tokens(20, equal_stages(4, 0, 1), 512), 20);
}

TEST(MicroBatch, TheBestOfAllSizes) {
  for (const double fixed : {1.0, 20.0, 300.0}) {
    const std::vector<StageTime> stages = {{fixed, 1}, {fixed, 2}, {fixed / 2, 1}};
    const auto time = [&](int64_t tokens) {
      double through = 0, slowest = 0;
      for (const StageTime& stage : stages) {
        through += stage.of(static_cast<double>(tokens));
        slowest = std::max(slowest, stage.of(static_cast<double>(tokens)));
      }
      return through + slowest * static_cast<double>((1000 + tokens - 1) / tokens - 1);
    };
    const int64_t chosen = micro_batch_tokens(1000, stages, 400);
    for (int64_t steps = 3; steps <= 31; ++steps)
      EXPECT_LE(time(chosen), time((1000 + steps - 1) / steps) * (1 + 1e-9)) << fixed << " in " << steps;
  }
}

TEST(MicroBatch, AStepIsNeverMoreThanItMayBeNorLessThanTheFewest) {
  // As few steps as possible, of which one is too large: the next.
  EXPECT_EQ(micro_batch_tokens(1024, equal_stages(2, 1, 0), 1024), 1024);
  EXPECT_EQ(micro_batch_tokens(1024, equal_stages(2, 1, 0), 1023), 512);
  // Down to 32 tokens a step, unless all are fewer.
  EXPECT_EQ(micro_batch_tokens(63, equal_stages(2, 0, 1), 512), 32);
  EXPECT_EQ(micro_batch_tokens(62, equal_stages(2, 0, 1), 512), 62);
  EXPECT_EQ(micro_batch_tokens(31, equal_stages(2, 0, 1), 512), 31);
  EXPECT_EQ(micro_batch_tokens(1, equal_stages(2, 0, 1), 77), 1);
  EXPECT_EQ(micro_batch_tokens(0, equal_stages(2, 0, 1), 77), 77);
  // Of equal times the fewest steps.
  EXPECT_EQ(micro_batch_tokens(256, std::vector<StageTime>{{0, 1}}, 512), 256);
}

TEST(MicroBatch, DecodingIsDividedWhereThatPays) {
  // Rows that cost what they weigh: a step a stage. Steps that cost the same whatever their size, on stages
  // of unequal length: one step, since the slow stage would see each of two.
  EXPECT_EQ(decode_micro_batches(64, equal_stages(2, 0, 1)), 2);
  EXPECT_EQ(decode_micro_batches(64, std::vector<StageTime>{{1, 0}, {3, 0}}), 1);
  // 2 + 3 for both at once; one by one each waits for the other at the second stage, 3 + 3.
  EXPECT_EQ(decode_micro_batches(2, std::vector<StageTime>{{0, 1}, {3, 0}}), 1);
  EXPECT_EQ(decode_micro_batches(1, equal_stages(4, 0, 1)), 1);
  EXPECT_EQ(decode_micro_batches(0, equal_stages(4, 0, 1)), 1);
}

TEST(MicroBatch, DecodingHasAtMostAStepAStageAndASequence) {
  EXPECT_EQ(decode_micro_batches(2, equal_stages(4, 0, 1)), 2);
  EXPECT_EQ(decode_micro_batches(3, equal_stages(3, 0, 1)), 3);
  EXPECT_EQ(decode_micro_batches(100, equal_stages(3, 0, 1)), 3);
  EXPECT_EQ(decode_micro_batches(0, equal_stages(3, 0, 1)), 1);
  // Three stages of which one is as slow as the others together: two steps keep it busy, three gain nothing.
  EXPECT_EQ(decode_micro_batches(60, std::vector<StageTime>{{0, 1}, {0, 2}, {0, 1}}), 2);
  // The slowest is the largest at that size, not at another: 4 + 1 * 30 against 0 + 2 * 30.
  EXPECT_EQ(decode_micro_batches(60, std::vector<StageTime>{{4, 1}, {0, 2}}), 2);
}

TEST(MicroBatch, AFewReadySequencesWaitForTheirShare) {
  EXPECT_EQ(decode_share(8, 8, 2), 4);
  EXPECT_EQ(decode_share(8, 1, 2), 0);
  EXPECT_EQ(decode_share(9, 4, 2), 5);  // the other 5 are on their way
  EXPECT_EQ(decode_share(3, 3, 4), 1);
  EXPECT_EQ(decode_share(1, 1, 1), 1);
  EXPECT_EQ(decode_share(8, 3, 2), 0);
  EXPECT_EQ(decode_share(8, 4, 2), 4);
  EXPECT_EQ(decode_share(9, 3, 2), 0);
  EXPECT_EQ(decode_share(0, 0, 2), 0);
  EXPECT_EQ(decode_share(1, 0, 2), 1);  // none is ready, and none is held back
}

TEST(LineFit, FindsTheLineAndFollowsItWhenItMoves) {
  LineFit line;
  EXPECT_EQ(line.slope(), 0);
  line.add(5, 1);
  EXPECT_EQ(line.slope(), 0);
  for (int i = 0; i < 10; ++i) line.add(i % 3, 7 + 2 * (i % 3));
  for (int i = 0; i < 500; ++i) line.add(i % 5, 3 + 0.5 * (i % 5));
  EXPECT_NEAR(line.slope(), 0.5, 1e-3);
  EXPECT_NEAR(line.intercept(), 3, 1e-2);
}

LineFit line_of(const std::vector<std::pair<double, double>>& points) {
  LineFit line;
  for (const auto& [x, y] : points) line.add(x, y);
  return line;
}

// Steps that cost the same whatever their size, or nothing but their size, come out so in spite of noise.
TEST(LineFit, NeitherFallsNorBeginsBelowZero) {
  const LineFit flat = line_of({{8, 5}, {9, 4}, {8, 5}, {9, 4}});
  EXPECT_TRUE(flat.known());
  EXPECT_EQ(flat.slope(), 0);
  EXPECT_NEAR(flat.intercept(), 4.5, 0.02);
  const LineFit steep = line_of({{1, 0.5}, {10, 11}, {1, 0.5}, {10, 11}});
  EXPECT_EQ(steep.intercept(), 0);
  EXPECT_NEAR(steep.slope(), (2 * 0.5 + 2 * 110) / 202, 1e-3);
}

// As in a long decode, whose batch stays the same.
TEST(LineFit, RemembersTheSlopeThroughAnyNumberOfStepsOfOneSize) {
  LineFit line = line_of({{512, 60}, {64, 15}});
  for (int i = 0; i < 100000; ++i) line.add(32, 12);
  EXPECT_TRUE(line.known());
  EXPECT_NEAR(line.slope(), 0.1, 1e-3);
  EXPECT_NEAR(line.slope() * 32 + line.intercept(), 12, 1e-2);
}

// More sizes than it keeps: the oldest go.
TEST(LineFit, KeepsTheRecentSizes) {
  LineFit line;
  for (int x = 1; x <= 1000; ++x) line.add(x, x <= 500 ? 1000 : 7 + 2 * x);
  EXPECT_NEAR(line.slope(), 2, 1e-9);
  EXPECT_NEAR(line.intercept(), 7, 1e-6);
}

TEST(LineFit, IsUnknownWhileAllStepsAreOfOneSize) {
  EXPECT_FALSE(LineFit().known());
  const LineFit line = line_of({{8, 5}, {8, 6}, {8, 4}});
  EXPECT_FALSE(line.known());
  EXPECT_EQ(line.slope(), 0);
  EXPECT_EQ(line.intercept(), 0);
}

}  // namespace
}  // namespace bolide
