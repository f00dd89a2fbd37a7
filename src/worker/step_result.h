#pragma once

#include <exception>
#include <memory>
#include <vector>

#include "sched/policy.h"
#include "sched/request_state.h"
#include "tensor/device.h"

namespace bolide {

// A step on its way, and then what it made.
struct StepResult {
  // Per sequence of the plan, once collected.
  std::vector<int32_t> ids;                // [S]; -1 where nothing was drawn
  std::vector<float> log_probs;            // [S]; of the drawn ids, where the plan wants any
  std::vector<std::exception_ptr> faults;  // [S]; a fault of that sequence alone
  // [S]; logits of prompt rows that another stage made. (What this rank makes goes to the RequestState.)
  std::vector<std::vector<float>> logits;

  // What this rank has learned since the step before of how long stages of the pipeline computed: in this
  // step or, where a GPU was not there yet, in earlier ones.
  std::vector<StageSample> samples;

  // While it is on its way.
  std::vector<RequestState*> sequences;   // [S] of the plan; valid in launch_step() and on followers
  std::vector<int32_t> drawn_for;         // [draws] the sequence of each
  std::shared_ptr<std::byte> host_draws;  // ids [draws], then log-probabilities [draws]
  size_t host_capacity = 0;               // of draws
  bool want_log_probs = false;
  std::unique_ptr<Event> done;
};

}  // namespace bolide
