#include "sched/scheduler.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "sched/batch_builder.h"

namespace bolide {

Scheduler::Scheduler(const SchedulerConfig& config)
    : config_(config), pool_(config.pages), stage_times_(static_cast<size_t>(config.stages)) {
  BOLIDE_CHECK(config.max_batch_size > 0 && config.max_chunk_tokens > 0 && config.page_size > 0);
}

void Scheduler::add(RequestState& state) {
  BOLIDE_CHECK(state.prompt_tokens > 0 && pages_of(state) <= pool_.pages(), "request {}: {} tokens", state.id,
               state.longest());
  waiting_.push_back(&state);
}

void Scheduler::remove(RequestState& state) {
  if (const auto found = std::find(running_.begin(), running_.end(), &state); found != running_.end()) {
    running_.erase(found);
  } else {
    const auto queued = std::find(waiting_.begin(), waiting_.end(), &state);
    BOLIDE_CHECK(queued != waiting_.end(), "request {} is not scheduled", state.id);
    waiting_.erase(queued);
  }
  state.pages.clear();
}

void Scheduler::measured(const StageSample& sample) {
  const auto stage = static_cast<size_t>(sample.stage);
  BOLIDE_CHECK(stage < stage_times_.size());
  stage_times_[stage].add(static_cast<double>(sample.tokens), sample.seconds);
}

// With several stages a step takes its share of the sequences, so that each stage has one to work on.
RowLimits Scheduler::limits() const {
  RowLimits limits{.prompt_tokens = config_.max_chunk_tokens};
  if (config_.stages == 1) return limits;
  int64_t waiting = 0, decoding = 0, ready = 0;
  for (const Progress& sequence : progress_) {
    waiting += std::max<int64_t>(sequence.prompt - sequence.cached, 0);
    decoding += sequence.cached >= sequence.prompt;
    ready += sequence.cached >= sequence.prompt && sequence.ready;
  }
  const bool known = config_.micro_batch_tokens == 0 &&
                     std::all_of(stage_times_.begin(), stage_times_.end(), std::mem_fn(&LineFit::known));
  std::vector<StageTime> stages;
  for (const LineFit& line : stage_times_)
    stages.push_back({.fixed_seconds = line.intercept(), .token_seconds = line.slope()});
  // Until it is known what a step costs, or where that shall have no say: one for each stage.
  if (!known) stages.assign(stages.size(), {.fixed_seconds = 0, .token_seconds = 1});
  limits.decode_rows = decode_share(decoding, ready, decode_micro_batches(decoding, stages));
  if (config_.micro_batch_tokens > 0) {
    limits.prompt_tokens = config_.micro_batch_tokens;
  } else if (known) {
    limits.prompt_tokens = micro_batch_tokens(waiting, stages, config_.max_chunk_tokens);
  } else {
    constexpr int64_t kMin = 32;
    limits.prompt_tokens = std::clamp(waiting / config_.stages, std::min(kMin, config_.max_chunk_tokens),
                                      config_.max_chunk_tokens);
  }
  return limits;
}

StepPlan& Scheduler::next_step() {
  if (config_.window > 0) {
    for (RequestState* state : running_)
      state->pages.drop_before(state->cached() - config_.window + 1, state->longest());
  }
  const int64_t running = static_cast<int64_t>(running_.size());
  waiting_pages_.clear();
  for (size_t i = 0; i < waiting_.size() && running + static_cast<int64_t>(i) < config_.max_batch_size; ++i)
    waiting_pages_.push_back(pages_of(*waiting_[i]));
  const int64_t admitted = admit(waiting_pages_, pool_.free_pages(), running, config_.max_batch_size);
  for (int64_t i = 0; i < admitted; ++i) {
    RequestState& state = *waiting_.front();
    state.pages = SequencePages(pool_, config_.page_size);
    const bool reserved = state.pages.reserve(std::min(state.longest(), pages_of(state) * config_.page_size));
    BOLIDE_CHECK(reserved, "request {}", state.id);
    running_.push_back(&state);
    waiting_.pop_front();
  }

  progress_.clear();
  for (const RequestState* state : running_) {
    progress_.push_back({.known = static_cast<int64_t>(state->tokens.size()),
                         .cached = state->cached(),
                         .prompt = state->prompt_tokens,
                         .ready = config_.stages == 1 || state->tokens.back() >= 0});
  }
  plan_rows(progress_, limits(), rows_);
  StepPlan& plan = plans_[turn_];
  turn_ = 1 - turn_;
  build_plan(running_, rows_, config_.page_size, plan);
  return plan;
}

}  // namespace bolide
