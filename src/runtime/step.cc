#include "runtime/step.h"

#include <algorithm>

#include "ops/gather_rows.h"

namespace bolide {
namespace {

// Draws for a run of rows. A row that cannot be drawn from (NaN) must cost its own sequence only, so after a
// failure each row is drawn alone.
void draw(const Context& context, const SampleArgs& args, std::span<const LogitUse> uses,
          StepResult& result) {
  try {
    sample(context, args);
    for (size_t i = 0; i < uses.size(); ++i) {
      result.ids[uses[i].sequence] = args.ids[i];
      if (!args.log_probs.empty()) result.log_probs[uses[i].sequence] = args.log_probs[i];
    }
  } catch (...) {
    if (uses.size() == 1) {
      result.faults[uses[0].sequence] = std::current_exception();
      return;
    }
    for (size_t i = 0; i < uses.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i);
      draw(context,
           {.logits = args.logits.slice_rows(row, row + 1),
            .rows = args.rows.subspan(i, 1),
            .ids = args.ids.subspan(i, 1),
            .log_probs = args.log_probs.empty() ? args.log_probs : args.log_probs.subspan(i, 1)},
           uses.subspan(i, 1), result);
    }
  }
}

// Appends rows to the logits that a request asked for. Not resize(): that would write the memory twice.
void keep(const float* row, int64_t vocab, RequestState& state) {
  if (state.logits.empty()) state.logits.reserve(state.prompt_tokens * vocab);
  state.logits.insert(state.logits.end(), row, row + vocab);
}

void keep_rows(const View& logits, std::span<const LogitUse> uses, const StepPlan& plan, StepResult& result) {
  for (size_t i = 0; i < uses.size(); ++i) {
    const int32_t s = uses[i].sequence;
    if (!uses[i].keep || result.faults[s]) continue;
    try {
      keep(logits.as<float>() + static_cast<int64_t>(i) * logits.row_stride, logits.shape[1],
           *plan.sequences[s]);
    } catch (const std::exception&) {  // bad_alloc, or length_error for more than a vector can hold
      result.faults[s] = std::make_exception_ptr(Error(
          ErrorCode::kResource,
          fmt::format("out of memory for the logits of {} prompt tokens x {} ids: send a shorter prompt",
                      plan.sequences[s]->prompt_tokens, logits.shape[1])));
    }
  }
}

// Final norm, head, kept rows and draws, a block of rows at a time, so that a prompt whose every row is
// wanted takes no more scratch memory than a batch.
void run_head(Worker& worker, const StepPlan& plan, const View& hidden, StepResult& result) {
  const Context& context = worker.context();
  const int64_t rows = static_cast<int64_t>(plan.uses.size());
  size_t drawn = 0;
  for (int64_t begin = 0; begin < rows; begin += worker.logit_block()) {
    const int64_t count = std::min(worker.logit_block(), rows - begin);
    const Arena::Scope scope(*context.arena);
    const View x = context.arena->take({count, hidden.shape[1]}, DType::kF32);
    gather_rows(context,
                {.x = hidden, .rows = std::span(plan.batch.logit_rows).subspan(begin, count), .y = x});
    const View logits = worker.logits(count);
    worker.model().logits(context, x, logits);

    const auto uses = std::span(plan.uses).subspan(begin, count);
    keep_rows(logits, uses, plan, result);
    for (size_t i = 0; i < uses.size();) {
      size_t end = i;
      while (end < uses.size() && uses[end].sample) ++end;
      if (end == i) {
        ++i;
        continue;
      }
      result.drawn_ids.resize(end - i);
      result.drawn_log_probs.resize(plan.want_log_probs ? end - i : 0);
      draw(context,
           {.logits = logits.slice_rows(static_cast<int64_t>(i), static_cast<int64_t>(end)),
            .rows = std::span(plan.sample_rows).subspan(drawn, end - i),
            .ids = result.drawn_ids,
            .log_probs = result.drawn_log_probs},
           uses.subspan(i, end - i), result);
      drawn += end - i;
      i = end;
    }
  }
}

}  // namespace

void run_step(Worker& worker, const StepPlan& plan, StepResult& result) {
  const Context& context = worker.context();
  const Batch& batch = plan.batch;
  result.ids.assign(plan.sequences.size(), -1);
  result.log_probs.assign(plan.sequences.size(), 0.0f);
  result.faults.assign(plan.sequences.size(), nullptr);

  for (const PageCopy& copy : plan.copies) worker.cache().copy_page(copy.from, copy.to);
  const Arena::Scope scope(*context.arena);
  const View hidden = context.arena->take({batch.tokens(), worker.model().config().hidden_size}, DType::kF32);
  if (worker.dist().first_stage()) worker.model().embed(context, batch, hidden);
  worker.model().run_layers(context, worker.cache().view(batch), hidden);
  if (worker.dist().last_stage()) run_head(worker, plan, hidden, result);
}

}  // namespace bolide
