#pragma once

#include <cstdint>
#include <vector>

#include "cache/batch.h"
#include "cache/sequence_pages.h"
#include "ops/sample.h"
#include "sched/request_state.h"

namespace bolide {

// What one row of Batch::logit_rows is for.
struct LogitUse {
  int32_t sequence = 0;  // index into StepPlan::sequences
  bool keep = false;     // append the row to the request's logits
  bool sample = false;   // draw the sequence's next token from it
};

// All that a step needs, made on the host before it starts.
struct StepPlan {
  Batch batch;
  std::vector<RequestState*> sequences;  // [S]
  std::vector<LogitUse> uses;            // [logit rows]
  std::vector<SampleRow> sample_rows;    // [rows to sample], in the order of `uses`
  bool want_log_probs = false;           // of any sampled row
  std::vector<PageCopy> copies;          // pages to copy before the step
  int64_t prefill_tokens = 0;
  int64_t decode_rows = 0;

  bool empty() const { return sequences.empty(); }
};

}  // namespace bolide
