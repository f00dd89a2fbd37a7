#pragma once

#include <algorithm>
#include <deque>
#include <vector>

#include "cache/page_pool.h"
#include "sched/line_fit.h"
#include "sched/policy.h"
#include "sched/step_plan.h"

namespace bolide {

struct SchedulerConfig {
  int64_t max_batch_size = 64;     // sequences that run at once
  int64_t max_chunk_tokens = 512;  // prompt tokens of a step
  int64_t pages = 0;
  int64_t page_size = 16;
  int64_t window = 0;  // ModelShape::cache_window()
  // Stages of a pipeline: so many steps are on their way at once, each with a part of the sequences, and a
  // sequence waits until the id that its last step drew is known.
  int stages = 1;
  int64_t micro_batch_tokens = 0;  // prompt tokens of such a step; 0: by how long steps take

  // What a request of so many tokens, the first `prompt` of which are its prompt's, takes of the cache.
  int64_t pages_of(int64_t tokens, int64_t prompt) const {
    return pages_at_once(tokens, window, std::min(prompt, std::max(max_chunk_tokens, micro_batch_tokens)),
                         page_size);
  }
};

// Who waits, who runs, and what the next step does. Borrows the RequestStates, which must outlive their stay.
// One thread at a time.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerConfig& config);

  // Queues a request; it must fit the pool when alone (checked at submit).
  void add(RequestState& state);
  // Takes a request out, waiting or running, and frees its pages: its place is open for the next step.
  void remove(RequestState& state);
  // Admits whom the policy lets in, and plans the next step; empty when nobody has anything to run. Before
  // the next call the caller must put the plan on its way, append the tokens that it draws (one that is not
  // known yet as -1 - its number among the draws, see Batch), and remove() who needs no further step. The
  // plan stays valid for one more call.
  StepPlan& next_step();

  // How long a step kept a stage busy. Micro-batches are sized by it once it is known of every stage.
  void measured(const StageSample& sample);

  bool idle() const { return waiting_.empty() && running_.empty(); }
  const PagePool& pool() const { return pool_; }
  const SchedulerConfig& config() const { return config_; }

 private:
  int64_t pages_of(const RequestState& state) const {
    return config_.pages_of(state.longest(), state.prompt_tokens);
  }

  RowLimits limits() const;

  SchedulerConfig config_;
  PagePool pool_;
  std::vector<LineFit> stage_times_;
  std::deque<RequestState*> waiting_;   // oldest first
  std::vector<RequestState*> running_;  // in order of admission
  StepPlan plans_[2];
  int turn_ = 0;                               // of the two, which comes next
  std::vector<int64_t> waiting_pages_, rows_;  // scratch, kept for their memory
  std::vector<Progress> progress_;
};

}  // namespace bolide
