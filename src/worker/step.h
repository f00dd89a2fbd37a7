#pragma once

#include "sched/step_plan.h"
#include "worker/step_result.h"
#include "worker/worker.h"

namespace bolide {

// Puts one pass of the model over a plan on its way: page copies, embedding on the first stage or the rows of
// the stage before, this rank's layers, and on the last stage logits and draws. Returns once the work is
// queued on the device (on the CPU: done). Prompt logits that the plan wants are appended to their
// RequestState before it returns. The tokens of the plan may name draws of the step launched before. Throws
// what the model throws: then no sequence of the plan can go on.
void launch_step(Worker& worker, const StepPlan& plan, StepResult& result);
// Waits for the step and fills in what it made, here or, for rank 0, on the last stage. Throws kInternal when
// the device failed.
void collect_step(Worker& worker, StepResult& result);

// The number of sequences that a captured decode step for `sequences` is made for.
int64_t padded_sequences(int64_t sequences);

}  // namespace bolide
