#include "sched/policy.h"

#include <gmock/gmock.h>

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

}  // namespace
}  // namespace bolide
