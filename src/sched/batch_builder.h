#pragma once

#include <span>

#include "sched/step_plan.h"

namespace bolide {

// Makes `plan` from the running sequences and how many rows each brings (0: not in this step). Rows of
// sequences past their prompt come first, so that the usual step samples one contiguous block of logits;
// prompts follow. Counts the rows into the sequences' pages, which admission has reserved. `plan` is reused
// between steps for its memory.
void build_plan(std::span<RequestState* const> running, std::span<const int64_t> rows, int64_t page_size,
                StepPlan& plan);

}  // namespace bolide
