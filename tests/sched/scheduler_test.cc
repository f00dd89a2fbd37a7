#include "sched/scheduler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>

#include "sched/batch_builder.h"
#include "support/expect_check.h"

namespace bolide {
namespace {

using ::testing::ElementsAre;

// A request whose token at position p is id * 1000 + p.
std::unique_ptr<RequestState> make_request(uint64_t id, int64_t prompt, int64_t max_new,
                                           bool return_logits = false) {
  auto state = std::make_unique<RequestState>();
  state->id = id;
  state->tag = id;
  state->prompt_tokens = prompt;
  state->max_new_tokens = max_new;
  state->return_logits = return_logits;
  for (int64_t p = 0; p < prompt; ++p) state->tokens.push_back(static_cast<int32_t>(id * 1000 + p));
  return state;
}

void append_token(RequestState& state) {
  state.tokens.push_back(static_cast<int32_t>(state.id * 1000 + state.tokens.size()));
}

TEST(SchedulerDeathTest, WhatCannotBeScheduledIsOurFault) {
  for (int64_t SchedulerConfig::*size :
       {&SchedulerConfig::max_batch_size, &SchedulerConfig::max_chunk_tokens, &SchedulerConfig::page_size}) {
    SchedulerConfig config{.max_batch_size = 1, .max_chunk_tokens = 1, .pages = 1, .page_size = 1};
    Scheduler smallest(config);
    config.*size = 0;
    EXPECT_CHECK(Scheduler{config}, "> 0");
  }
  Scheduler scheduler({.max_batch_size = 1, .max_chunk_tokens = 8, .pages = 2, .page_size = 4});
  const auto fits = make_request(1, 1, 7), too_long = make_request(2, 1, 8), empty = make_request(3, 0, 1);
  scheduler.add(*fits);
  EXPECT_CHECK(scheduler.add(*too_long), "request 2: 9 tokens");
  EXPECT_CHECK(scheduler.add(*empty), "request 3");
  EXPECT_CHECK(scheduler.remove(*too_long), "request 2 is not scheduled");
  EXPECT_CHECK(scheduler.measured({.stage = 1, .tokens = 1, .seconds = 1}), "stage");
}

TEST(Scheduler, PlanOfAMixedStep) {
  Scheduler scheduler({.max_batch_size = 4, .max_chunk_tokens = 5, .pages = 20, .page_size = 4});
  const auto a = make_request(1, 2, 3), b = make_request(2, 7, 2), c = make_request(3, 2, 1);
  scheduler.add(*a);
  StepPlan& first = scheduler.next_step();
  EXPECT_THAT(first.batch.token_ids, ElementsAre(1000, 1001));
  EXPECT_THAT(first.batch.logit_rows, ElementsAre(1));
  EXPECT_EQ(first.prefill_tokens, 2);
  EXPECT_EQ(first.decode_rows, 0);
  append_token(*a);

  scheduler.add(*b);
  scheduler.add(*c);
  StepPlan& plan = scheduler.next_step();  // a decodes, b brings 5 of 7, c has to wait for the budget
  EXPECT_THAT(plan.sequences, ElementsAre(a.get(), b.get()));
  EXPECT_THAT(plan.batch.token_ids, ElementsAre(1002, 2000, 2001, 2002, 2003, 2004));
  EXPECT_THAT(plan.batch.positions, ElementsAre(2, 0, 1, 2, 3, 4));
  EXPECT_THAT(plan.batch.query_offsets, ElementsAre(0, 1, 6));
  EXPECT_THAT(plan.batch.kv_lengths, ElementsAre(3, 5));
  EXPECT_EQ(plan.batch.max_pages, 2);
  EXPECT_THAT(plan.batch.page_table,
              ElementsAre(a->pages.pages()[0], 0, b->pages.pages()[0], b->pages.pages()[1]));
  for (int64_t t = 1; t < 6; ++t) EXPECT_EQ(plan.batch.slots[t], b->pages.slot(t - 1));
  EXPECT_EQ(plan.batch.slots[0], a->pages.slot(2));
  EXPECT_THAT(plan.batch.logit_rows, ElementsAre(0));  // b is not at its prompt's end
  ASSERT_EQ(plan.sample_rows.size(), 1u);
  EXPECT_EQ(plan.sample_rows[0].position, 3u);
  EXPECT_EQ(plan.prefill_tokens, 5);
  EXPECT_EQ(plan.decode_rows, 1);
  append_token(*a);

  StepPlan& last = scheduler.next_step();
  EXPECT_THAT(last.sequences, ElementsAre(a.get(), b.get(), c.get()));
  EXPECT_THAT(last.batch.logit_rows, ElementsAre(0, 2, 4));
  // The step before may still run: its plan stays as it is.
  EXPECT_THAT(plan.batch.token_ids, ElementsAre(1002, 2000, 2001, 2002, 2003, 2004));
  EXPECT_NE(&last, &plan);
}

TEST(Scheduler, KeptRowsAreThePromptsAndSampledRowsTheLast) {
  Scheduler scheduler({.max_batch_size = 4, .max_chunk_tokens = 3, .pages = 20, .page_size = 4});
  const auto a = make_request(1, 5, 2, true), b = make_request(2, 1, 0, true);
  scheduler.add(*a);
  scheduler.add(*b);
  EXPECT_THAT(scheduler.next_step().batch.logit_rows, ElementsAre(0, 1, 2));
  StepPlan& plan = scheduler.next_step();
  EXPECT_THAT(plan.batch.logit_rows, ElementsAre(0, 1, 2));
  ASSERT_EQ(plan.uses.size(), 3u);
  EXPECT_TRUE(plan.uses[0].keep && !plan.uses[0].sample);
  EXPECT_TRUE(plan.uses[1].keep && plan.uses[1].sample);
  EXPECT_TRUE(plan.uses[2].keep && !plan.uses[2].sample);  // max_new_tokens is 0
  append_token(*a);
  scheduler.remove(*b);
  StepPlan& decode = scheduler.next_step();
  ASSERT_EQ(decode.uses.size(), 1u);
  EXPECT_TRUE(!decode.uses[0].keep && decode.uses[0].sample);
}

TEST(Scheduler, FreedPlaceIsTakenAtTheNextStep) {
  Scheduler scheduler({.max_batch_size = 1, .max_chunk_tokens = 8, .pages = 4, .page_size = 4});
  const auto a = make_request(1, 3, 4), b = make_request(2, 3, 4);
  scheduler.add(*a);
  scheduler.add(*b);
  EXPECT_THAT(scheduler.next_step().sequences, ElementsAre(a.get()));
  scheduler.remove(*a);
  EXPECT_THAT(scheduler.next_step().sequences, ElementsAre(b.get()));
  scheduler.remove(*b);
  EXPECT_TRUE(scheduler.next_step().empty());
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.pool().free_pages(), 4);
}

TEST(Scheduler, WaitingRequestCanBeRemoved) {
  Scheduler scheduler({.max_batch_size = 1, .max_chunk_tokens = 8, .pages = 4, .page_size = 4});
  const auto a = make_request(1, 3, 4), b = make_request(2, 3, 4), c = make_request(3, 3, 4);
  for (RequestState* state : {a.get(), b.get(), c.get()}) scheduler.add(*state);
  scheduler.next_step();
  scheduler.remove(*b);
  scheduler.remove(*a);
  EXPECT_THAT(scheduler.next_step().sequences, ElementsAre(c.get()));
}

// Two sequences with a past in common go on differently: whoever writes first gets a copy of the page that
// both still share, the other keeps it, and the page before it stays shared.
TEST(BatchBuilder, AForkWritesToACopyOfThePage) {
  PagePool pool(8);
  const auto first = make_request(1, 6, 4), second = make_request(2, 6, 4);
  first->pages = SequencePages(pool, 4);
  StepPlan plan;
  build_plan(std::vector<RequestState*>{first.get()}, std::vector<int64_t>{6}, 4, plan);
  EXPECT_TRUE(plan.copies.empty());
  second->tokens = first->tokens;
  second->pages = first->pages.fork();
  const std::vector<int32_t> shared(first->pages.pages().begin(), first->pages.pages().end());
  append_token(*first);
  append_token(*second);
  build_plan(std::vector<RequestState*>{first.get(), second.get()}, std::vector<int64_t>{1, 1}, 4, plan);
  ASSERT_EQ(plan.copies.size(), 1u);
  EXPECT_EQ(plan.copies[0].from, shared[1]);
  EXPECT_EQ(plan.copies[0].to, first->pages.pages()[1]);
  EXPECT_EQ(second->pages.pages()[1], shared[1]);
  EXPECT_THAT(plan.batch.page_table, ElementsAre(shared[0], plan.copies[0].to, shared[0], shared[1]));
  EXPECT_THAT(plan.batch.slots, ElementsAre(first->pages.slot(6), second->pages.slot(6)));
  EXPECT_NE(plan.batch.slots[0], plan.batch.slots[1]);
}

// Measured times of a stage whose steps cost fixed + tokens * token.
void measure(Scheduler& scheduler, int64_t stage, double fixed, double token) {
  for (int64_t tokens : {4, 64, 8, 300}) {
    scheduler.measured(
        {.stage = stage, .tokens = tokens, .seconds = fixed + token * static_cast<double>(tokens)});
  }
}

// The prompt tokens of the first step of a prompt of 640.
int64_t prompt_step(Scheduler& scheduler) {
  const auto request = make_request(1, 640, 1);
  scheduler.add(*request);
  const int64_t tokens = scheduler.next_step().prefill_tokens;
  scheduler.remove(*request);
  return tokens;
}

// The rows of the first step in which eight sequences decode.
int64_t decode_step(Scheduler& scheduler) {
  std::vector<std::unique_ptr<RequestState>> requests;
  for (uint64_t id = 0; id < 8; ++id) scheduler.add(*requests.emplace_back(make_request(id, 1, 5)));
  scheduler.next_step();
  for (auto& request : requests) append_token(*request);
  const int64_t rows = scheduler.next_step().decode_rows;
  for (auto& request : requests) scheduler.remove(*request);
  return rows;
}

constexpr SchedulerConfig kTwoStages = {
    .max_batch_size = 8, .max_chunk_tokens = 1024, .pages = 100, .page_size = 16, .stages = 2};

TEST(Scheduler, StepsAreDividedByTheStagesUntilEachIsMeasured) {
  Scheduler scheduler(kTwoStages);
  EXPECT_EQ(prompt_step(scheduler), 320);
  EXPECT_EQ(decode_step(scheduler), 4);
  measure(scheduler, 1, 1, 0);  // of stage 0 nothing is known, and then only steps of one size
  EXPECT_EQ(prompt_step(scheduler), 320);
  for (int i = 0; i < 5; ++i) scheduler.measured({.stage = 0, .tokens = 8, .seconds = 3});
  EXPECT_EQ(prompt_step(scheduler), 320);
  EXPECT_EQ(decode_step(scheduler), 4);
  measure(scheduler, 0, 3, 0);
  EXPECT_EQ(prompt_step(scheduler), 640);
  EXPECT_EQ(decode_step(scheduler), 8);
}

// Of eight that decode, those whose last id is on its way are not ready, and one that is still in its prompt
// does not decode. Too few wait for their share, which is four of two stages.
TEST(Scheduler, SequencesWithoutTheirLastIdAreNotReady) {
  for (const int64_t ready : {1, 3, 4, 8}) {
    for (const bool prompt : {false, true}) {
      SCOPED_TRACE(testing::Message() << ready << " ready" << (prompt ? " and a prompt" : ""));
      SchedulerConfig config = kTwoStages;
      config.max_batch_size = 9;
      Scheduler scheduler(config);
      std::vector<std::unique_ptr<RequestState>> requests;
      for (uint64_t id = 0; id < 8; ++id) scheduler.add(*requests.emplace_back(make_request(id, 1, 5)));
      EXPECT_EQ(scheduler.next_step().prefill_tokens, 8);
      for (auto& request : requests) {
        append_token(*request);
        if (static_cast<int64_t>(request->id) >= ready) request->tokens.back() = -1;
      }
      if (prompt) scheduler.add(*requests.emplace_back(make_request(8, 40, 1)));
      const StepPlan& plan = scheduler.next_step();
      EXPECT_EQ(plan.decode_rows, ready >= 4 ? 4 : 0);
      EXPECT_EQ(plan.prefill_tokens, prompt ? 32 : 0);
      for (auto& request : requests) scheduler.remove(*request);
    }
  }
}

TEST(Scheduler, StepsFollowMeasuredTimes) {
  // Steps that cost what they hold: small ones keep both stages busy.
  Scheduler dear_tokens(kTwoStages);
  for (int64_t stage : {0, 1}) measure(dear_tokens, stage, 0, 1);
  EXPECT_EQ(prompt_step(dear_tokens), 32);
  EXPECT_EQ(decode_step(dear_tokens), 4);
  // Steps that cost the same whatever they hold, on a slow stage and a quick one: as few as possible.
  Scheduler dear_steps(kTwoStages);
  measure(dear_steps, 0, 3, 0);
  measure(dear_steps, 1, 1, 0);
  EXPECT_EQ(prompt_step(dear_steps), 640);
  EXPECT_EQ(decode_step(dear_steps), 8);
  // A number that was asked for stands.
  SchedulerConfig fixed = kTwoStages;
  fixed.micro_batch_tokens = 70;
  Scheduler asked(fixed);
  measure(asked, 0, 3, 0);
  measure(asked, 1, 1, 0);
  EXPECT_EQ(prompt_step(asked), 70);
  EXPECT_EQ(decode_step(asked), 4);
}

TEST(Scheduler, AnIdOfZeroIsKnown) {
  Scheduler scheduler(kTwoStages);
  const auto first = make_request(1, 1, 5), second = make_request(2, 1, 5);
  for (RequestState* state : {first.get(), second.get()}) scheduler.add(*state);
  scheduler.next_step();
  for (RequestState* state : {first.get(), second.get()}) state->tokens.push_back(0);
  EXPECT_THAT(scheduler.next_step().sequences, ElementsAre(first.get()));
}

// The prompts of a step are as long as what waits of them, in tokens, divided by the stages.
TEST(Scheduler, PromptsShareAStagesPartUntilItIsMeasured) {
  SchedulerConfig config = kTwoStages;
  config.max_chunk_tokens = 100;
  Scheduler scheduler(config);
  const auto done = make_request(1, 8, 3), first = make_request(2, 120, 1), second = make_request(3, 40, 1);
  scheduler.add(*done);
  EXPECT_EQ(scheduler.next_step().prefill_tokens, 8);  // less than the fewest, 32, is not divided
  append_token(*done);
  scheduler.add(*first);
  scheduler.add(*second);
  EXPECT_EQ(scheduler.next_step().prefill_tokens, 80);  // half of 160
  EXPECT_EQ(scheduler.next_step().prefill_tokens, 40);  // of 80: the decoding sequence has none left
  EXPECT_EQ(scheduler.next_step().prefill_tokens, 32);  // of 40
  const auto long_one = make_request(4, 900, 1);
  scheduler.add(*long_one);
  EXPECT_EQ(scheduler.next_step().prefill_tokens, 100);  // as many as a step may take
}

// One stage plans ahead of what it does not know yet.
TEST(Scheduler, WithoutAPipelineNobodyWaitsForAnId) {
  Scheduler scheduler({.max_batch_size = 2, .max_chunk_tokens = 8, .pages = 8, .page_size = 4});
  const auto request = make_request(1, 2, 4);
  scheduler.add(*request);
  scheduler.next_step();
  request->tokens.push_back(-1);
  StepPlan& plan = scheduler.next_step();
  EXPECT_EQ(plan.decode_rows, 1);
  EXPECT_THAT(plan.batch.token_ids, ElementsAre(-1));
}

TEST(Scheduler, AStepOfAPipelineIsNoLongerThanItMayBe) {
  SchedulerConfig config = kTwoStages;
  config.max_chunk_tokens = 5;
  Scheduler scheduler(config);
  const auto request = make_request(1, 40, 1);
  scheduler.add(*request);
  EXPECT_EQ(scheduler.next_step().prefill_tokens, 5);
}

TEST(Scheduler, AdmitsAsPagesAndPlacesAllow) {
  Scheduler scheduler({.max_batch_size = 3, .max_chunk_tokens = 100, .pages = 6, .page_size = 4});
  // 2, 3, 1 and 1 pages: the third needs a page that is left, the fourth a place that is not.
  const auto a = make_request(1, 4, 4), b = make_request(2, 8, 1), c = make_request(3, 3, 1),
             d = make_request(4, 1, 1);
  for (RequestState* state : {a.get(), b.get(), c.get(), d.get()}) scheduler.add(*state);
  EXPECT_THAT(scheduler.next_step().sequences, ElementsAre(a.get(), b.get(), c.get()));
  EXPECT_EQ(scheduler.pool().free_pages(), 0);
  EXPECT_FALSE(scheduler.idle());
  scheduler.remove(*b);
  EXPECT_EQ(scheduler.pool().free_pages(), 3);
  StepPlan& plan = scheduler.next_step();
  EXPECT_EQ(plan.sequences.back(), d.get());
  EXPECT_EQ(scheduler.pool().free_pages(), 2);
  for (RequestState* state : {a.get(), c.get(), d.get()}) scheduler.remove(*state);
  EXPECT_TRUE(scheduler.idle());
}

TEST(Scheduler, LogProbabilitiesAreWantedByWhoDraws) {
  Scheduler scheduler({.max_batch_size = 2, .max_chunk_tokens = 4, .pages = 20, .page_size = 4});
  const auto plain = make_request(1, 2, 3), wants = make_request(2, 6, 3);
  wants->return_log_probs = true;
  scheduler.add(*plain);
  scheduler.add(*wants);
  EXPECT_FALSE(scheduler.next_step().want_log_probs);  // two tokens of each: the second draws nothing yet
  append_token(*plain);
  StepPlan& plan = scheduler.next_step();
  EXPECT_TRUE(plan.want_log_probs);
  ASSERT_EQ(plan.sample_rows.size(), 2u);
  EXPECT_EQ(plan.sample_rows[0].position, 3u);
  EXPECT_EQ(plan.sample_rows[0].request, 1u);
  EXPECT_EQ(plan.sample_rows[1].position, 6u);
}

TEST(SchedulerDeathTest, WhatCannotBeIsOurFault) {
  EXPECT_CHECK(Scheduler({.max_batch_size = 0, .pages = 1}), "max_batch_size > 0");
  EXPECT_CHECK(Scheduler({.max_chunk_tokens = 0, .pages = 1}), "max_chunk_tokens > 0");
  EXPECT_CHECK(Scheduler({.pages = 1, .page_size = 0}), "page_size > 0");
  Scheduler scheduler({.max_batch_size = 2, .pages = 2, .page_size = 4});
  const auto fits = make_request(1, 4, 4), long_one = make_request(2, 5, 4), empty = make_request(3, 0, 4);
  EXPECT_CHECK(scheduler.add(*long_one), "request 2: 9 tokens");
  EXPECT_CHECK(scheduler.add(*empty), "request 3");
  EXPECT_CHECK(scheduler.remove(*fits), "request 1 is not scheduled");
  EXPECT_CHECK(scheduler.measured({.stage = 1}), "stage < ");
  scheduler.measured({.stage = 0, .tokens = 1, .seconds = 1});
  scheduler.add(*fits);
  EXPECT_THAT(scheduler.next_step().sequences, ElementsAre(fits.get()));
}

// The pages that the step's rows read or write are one sequence's each, and the page table has them.
void expect_own_pages(const StepPlan& plan, const SchedulerConfig& config) {
  std::set<int32_t> seen;
  const Batch& batch = plan.batch;
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    const int64_t rows = batch.query_offsets[s + 1] - batch.query_offsets[s];
    const int64_t first =
        config.window == 0 ? 0 : std::max<int64_t>(batch.kv_lengths[s] - rows - config.window + 1, 0);
    for (int64_t p = first / config.page_size; p < pages_for(batch.kv_lengths[s], config.page_size); ++p) {
      const int32_t page = batch.page_table[s * batch.max_pages + p];
      ASSERT_TRUE(seen.insert(page).second) << "page " << page << " has two owners";
      ASSERT_EQ(page, plan.sequences[s]->pages.pages()[p]);
    }
  }
  ASSERT_LE(std::ssize(seen), config.pages);
}

// Whatever comes, in whatever order it goes: every step has work, no slot is written twice in a step, nobody
// overtakes, and all pages come back.
TEST(Scheduler, RandomLoadAlwaysEnds) {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    const auto between = [&](int64_t low, int64_t high) {
      return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
    };
    const SchedulerConfig config{.max_batch_size = between(1, 5),
                                 .max_chunk_tokens = between(1, 9),
                                 .pages = between(8, 20),
                                 .page_size = between(1, 5),
                                 .window = round % 2 == 0 ? 0 : between(1, 8)};
    Scheduler scheduler(config);
    std::vector<std::unique_ptr<RequestState>> requests;
    for (uint64_t id = 0; id < 30; ++id) {
      const int64_t total = std::min<int64_t>(config.pages * config.page_size, 25);
      const int64_t prompt = between(1, total - 1);
      requests.push_back(make_request(id, prompt, between(1, total - prompt)));
      scheduler.add(*requests.back());
    }
    uint64_t begun = 0;  // requests that have had a row so far
    int steps = 0;
    while (!scheduler.idle()) {
      ASSERT_LT(++steps, 5000);
      StepPlan& plan = scheduler.next_step();
      ASSERT_FALSE(plan.empty());
      ASSERT_LE(plan.prefill_tokens, config.max_chunk_tokens);
      std::vector<int64_t> slots = plan.batch.slots;
      std::sort(slots.begin(), slots.end());
      ASSERT_EQ(std::adjacent_find(slots.begin(), slots.end()), slots.end());
      ASSERT_TRUE(std::is_sorted(plan.batch.logit_rows.begin(), plan.batch.logit_rows.end()));
      expect_own_pages(plan, config);
      for (const RequestState* state : plan.sequences) {
        if (state->id < begun) continue;
        ASSERT_EQ(state->id, begun) << "overtook an older request";
        ++begun;
      }
      for (const LogitUse& use : plan.uses) {
        RequestState& state = *plan.sequences[use.sequence];
        append_token(state);
        // Some end early, as by an end id.
        if (state.made() == state.max_new_tokens || random() % 6 == 0) scheduler.remove(state);
      }
    }
    ASSERT_EQ(begun, requests.size());
    ASSERT_EQ(scheduler.pool().free_pages(), config.pages);
  }
}

}  // namespace
}  // namespace bolide
