#pragma once

#include <exception>
#include <span>
#include <vector>

#include "runtime/worker.h"
#include "sched/step_plan.h"

namespace bolide {

// What a step made, per sequence of its plan.
struct StepResult {
  std::vector<int32_t> ids;                // [S]; -1 where nothing was drawn
  std::vector<float> log_probs;            // [S]; of the drawn ids, where the plan wants any
  std::vector<std::exception_ptr> faults;  // [S]; a fault of that sequence alone

  std::vector<int32_t> drawn_ids;  // scratch: of one run of sampled rows
  std::vector<float> drawn_log_probs;
};

// One pass of the model over a plan: page copies, embedding on the first stage, this rank's layers, and on
// the last stage logits and draws. Prompt logits that the plan wants are appended to their RequestState.
// Throws what the model throws: then no sequence of the plan can go on.
void run_step(Worker& worker, const StepPlan& plan, StepResult& result);

}  // namespace bolide
