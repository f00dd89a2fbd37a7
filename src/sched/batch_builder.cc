#include "sched/batch_builder.h"

#include <algorithm>

#include "base/error.h"
#include "decode/sampling.h"

namespace bolide {
namespace {

void clear(StepPlan& plan) {
  Batch& batch = plan.batch;
  batch.token_ids.clear();
  batch.positions.clear();
  batch.query_offsets.assign(1, 0);
  batch.kv_lengths.clear();
  batch.prompt_lengths.clear();
  batch.slots.clear();
  batch.logit_rows.clear();
  plan.sequences.clear();
  plan.uses.clear();
  plan.sample_rows.clear();
  plan.copies.clear();
  plan.want_log_probs = false;
  plan.prefill_tokens = 0;
  plan.decode_rows = 0;
}

// The rows of tokens [begin, begin + rows) of a sequence, and what their logits are for.
void add_sequence(RequestState& state, int64_t rows, StepPlan& plan) {
  Batch& batch = plan.batch;
  const int64_t begin = state.cached(), end = begin + rows;
  const int64_t known = static_cast<int64_t>(state.tokens.size());
  (state.in_prompt() ? plan.prefill_tokens : plan.decode_rows) += rows;
  const bool appended = state.pages.append(rows, plan.copies);
  BOLIDE_CHECK(appended, "request {} runs without the pages it was admitted with", state.id);

  const int32_t sequence = static_cast<int32_t>(plan.sequences.size());
  plan.sequences.push_back(&state);
  for (int64_t position = begin; position < end; ++position) {
    const bool keep = state.return_logits && position < state.prompt_tokens;
    const bool sample = position + 1 == known && state.made() < state.max_new_tokens;
    if (keep || sample) {
      batch.logit_rows.push_back(static_cast<int32_t>(batch.tokens()));
      plan.uses.push_back({.sequence = sequence, .keep = keep, .sample = sample});
    }
    batch.token_ids.push_back(state.tokens[position]);
    batch.positions.push_back(static_cast<int32_t>(position));
    batch.slots.push_back(state.pages.slot(position));
    if (sample) {
      plan.sample_rows.push_back(make_sample_row(state.sampling, state.tag, known));
      plan.want_log_probs |= state.return_log_probs;
    }
  }
  batch.query_offsets.push_back(static_cast<int32_t>(batch.tokens()));
  batch.kv_lengths.push_back(static_cast<int32_t>(end));
  batch.prompt_lengths.push_back(static_cast<int32_t>(state.prompt_tokens));
}

// A few KiB a step: cheaper to write anew than to keep in step with who joined and left.
void fill_page_table(int64_t page_size, StepPlan& plan) {
  Batch& batch = plan.batch;
  batch.max_pages = 0;
  for (int32_t length : batch.kv_lengths)
    batch.max_pages = std::max(batch.max_pages, pages_for(length, page_size));
  batch.page_table.assign(batch.sequences() * batch.max_pages, 0);
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    const auto pages = plan.sequences[s]->pages.pages().first(pages_for(batch.kv_lengths[s], page_size));
    std::copy(pages.begin(), pages.end(), batch.page_table.begin() + s * batch.max_pages);
  }
}

}  // namespace

void build_plan(std::span<RequestState* const> running, std::span<const int64_t> rows, int64_t page_size,
                StepPlan& plan) {
  BOLIDE_CHECK(running.size() == rows.size());
  clear(plan);
  for (const bool prompts : {false, true}) {
    for (size_t i = 0; i < running.size(); ++i) {
      // Taking rows in can end in_prompt() but never begin it, so no sequence is met in both passes.
      if (rows[i] > 0 && running[i]->in_prompt() == prompts) add_sequence(*running[i], rows[i], plan);
    }
  }
  fill_page_table(page_size, plan);
}

}  // namespace bolide
