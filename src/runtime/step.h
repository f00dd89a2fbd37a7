#pragma once

#include <exception>
#include <memory>
#include <vector>

#include "runtime/worker.h"
#include "sched/step_plan.h"

namespace bolide {

// A step on its way, and then what it made.
class StepResult {
 public:
  // Per sequence of the plan, once collected.
  std::vector<int32_t> ids;                // [S]; -1 where nothing was drawn
  std::vector<float> log_probs;            // [S]; of the drawn ids, where the plan wants any
  std::vector<std::exception_ptr> faults;  // [S]; a fault of that sequence alone

 private:
  friend void launch_step(Worker& worker, const StepPlan& plan, StepResult& result);
  friend void collect_step(StepResult& result);
  std::vector<int32_t> drawn_for_;         // [draws] the sequence of each
  std::shared_ptr<std::byte> host_draws_;  // ids [draws], then log-probabilities [draws]
  size_t host_capacity_ = 0;               // of draws
  bool want_log_probs_ = false;
  std::unique_ptr<Event> done_;
};

// Puts one pass of the model over a plan on its way: page copies, embedding on the first stage, this rank's
// layers, and on the last stage logits and draws. Returns once the work is queued on the device (on the CPU:
// done). Prompt logits that the plan wants are appended to their RequestState before it returns. The tokens
// of the plan may name draws of the step launched before. Throws what the model throws: then no sequence of
// the plan can go on.
void launch_step(Worker& worker, const StepPlan& plan, StepResult& result);
// Waits for the step and fills in what it made. Throws kInternal when the device failed.
void collect_step(StepResult& result);

// The number of sequences that a captured decode step for `sequences` is made for.
int64_t padded_sequences(int64_t sequences);

}  // namespace bolide
