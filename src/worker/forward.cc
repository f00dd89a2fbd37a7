#include "worker/forward.h"

#include <algorithm>

#include "decode/slices.h"
#include "ops/gather_rows.h"
#include "tensor/device.h"

namespace bolide {
namespace {

// Appends rows to the logits that a request asked for. Not resize(): that would write the memory twice.
void keep(const float* row, int64_t vocab, RequestState& state) {
  if (state.logits.empty()) state.logits.reserve(state.prompt_tokens * vocab);
  state.logits.insert(state.logits.end(), row, row + vocab);
}

void keep_rows(const Context& context, const Model& model, const Dist& dist, const View& local,
               std::span<const LogitUse> uses, const Pass& pass) {
  if (std::none_of(uses.begin(), uses.end(), [](const LogitUse& use) { return use.keep; })) return;
  const Arena::Scope scope(*context.arena);
  View logits = local;
  if (context.tensor_comm) {
    logits = context.arena->take({local.shape[0], model.shape().vocab_size}, DType::kF32);
    gather_logits(context, local, logits);
    if (dist.tensor_rank > 0) return;
  }
  if (context.counting()) return;
  const size_t row_bytes = static_cast<size_t>(logits.shape[1]) * sizeof(float);
  Tensor on_host;
  for (size_t i = 0; i < uses.size(); ++i) {
    const int32_t s = uses[i].sequence;
    std::exception_ptr& fault = pass.result->faults[s];
    if (!uses[i].keep || fault) continue;
    try {
      const float* row = logits.as<float>() + static_cast<int64_t>(i) * logits.row_stride;
      if (context.device == Device::kCuda) {
        if (on_host.empty()) on_host = Tensor::allocate({logits.shape[1]}, DType::kF32);
        copy_to_host(context, on_host.view().data, row, row_bytes);
        synchronize(context);
        row = on_host.as<float>();
      }
      keep(row, logits.shape[1], *pass.sequences[s]);
    } catch (const std::exception&) {  // bad_alloc, or length_error for more than a vector can hold
      fault = std::make_exception_ptr(Error(
          ErrorCode::kResource,
          fmt::format("out of memory for the logits of {} prompt tokens x {} ids: send a shorter prompt",
                      pass.sequences[s]->prompt_tokens, logits.shape[1])));
    }
  }
}

// Draws for rows [begin, end) of `logits`, which are the draws [drawn, ...) of the step.
void draw(const Context& context, const Model& model, const PassMemory& memory, const Pass& pass,
          const View& logits, int64_t begin, int64_t end, int64_t drawn) {
  const size_t first = static_cast<size_t>(drawn), count = static_cast<size_t>(end - begin);
  sample_slices(context,
                {.logits = logits.slice_rows(begin, end),
                 .rows = pass.input.sample_rows.subspan(first, count),
                 .ids = memory.draws.subspan(first, count),
                 .log_probs = pass.log_probs ? memory.log_probs.subspan(first, count) : std::span<float>(),
                 .all_greedy = pass.greedy},
                model.shape().vocab_size, pass.candidates);
}

// Final norm, head, kept rows and draws, a block of rows at a time, so that a prompt whose every row is
// wanted takes no more scratch memory than a batch.
void run_head(const Context& context, const Model& model, const Dist& dist, const PassMemory& memory,
              const Pass& pass, const View& hidden) {
  const auto wanted = pass.input.batch.logit_rows;
  const int64_t rows = static_cast<int64_t>(wanted.size());
  const bool best = pass.uses.empty() && pass.greedy && !pass.log_probs;
  int64_t drawn = 0;
  for (int64_t begin = 0; begin < rows; begin += memory.logit_block) {
    const int64_t count = std::min(memory.logit_block, rows - begin);
    const Arena::Scope scope(*context.arena);
    View x = pass.every_row ? hidden.slice_rows(begin, begin + count) : View();
    if (x.empty()) {
      x = context.arena->take({count, hidden.shape[1]}, DType::kF32);
      gather_rows(context, {.x = hidden, .rows = wanted.subspan(begin, count), .y = x});
    }
    const View logits = memory.logits(count);
    if (best) {
      const auto first = static_cast<size_t>(begin), rows_here = static_cast<size_t>(count);
      greedy_slices(context, pass.input.sample_rows.subspan(first, rows_here),
                    memory.draws.subspan(first, rows_here), model.shape().vocab_size,
                    [&](const Argmax& found) { model.logits(context, x, logits, found); });
      continue;
    }
    model.logits(context, x, logits, {});
    if (pass.uses.empty()) {
      draw(context, model, memory, pass, logits, 0, count, drawn);
      drawn += count;
      continue;
    }
    const auto uses = pass.uses.subspan(begin, count);
    keep_rows(context, model, dist, logits, uses, pass);
    for (int64_t i = 0; i < count;) {
      int64_t end = i;
      while (end < count && uses[end].sample) ++end;
      if (end > i) draw(context, model, memory, pass, logits, i, end, drawn);
      drawn += end - i;
      i = std::max(end, i + 1);
    }
  }
}

}  // namespace

void forward(const Context& context, const Model& model, const Dist& dist, const PassMemory& memory,
             const Pass& pass, const View& hidden) {
  if (dist.first_stage()) model.embed(context, pass.input.batch, hidden);
  model.run_layers(context, memory.cache, hidden);
  if (dist.last_stage()) run_head(context, model, dist, memory, pass, hidden);
}

}  // namespace bolide
