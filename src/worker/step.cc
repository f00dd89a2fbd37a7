#include "worker/step.h"

#include <algorithm>
#include <bit>

#include "decode/slices.h"
#include "tensor/allocator.h"
#include "worker/forward.h"

namespace bolide {
namespace {

// With a graph this stage's part is launched as one, and recorded first where the graph is empty. The
// exchange with other stages stays outside of it: only so can be told how long a stage computes, with
// whatever it waits for left out. Stages that talk by way of host memory have graphs, too.
void run_pass(Worker& worker, const Pass& pass, Graph* graph = nullptr) {
  const Context& context = worker.context();
  const BatchView& batch = pass.input.batch;
  const Dist& dist = worker.dist();
  const Arena::Scope scope(*context.arena);
  const View hidden = context.arena->take({batch.tokens(), worker.model().shape().hidden_size}, DType::kF32);
  const auto compute = [&] {
    forward(context, worker.model(), dist,
            {.cache = worker.cache().view(batch),
             .logits = [&](int64_t rows) { return worker.logits(rows); },
             .logit_block = worker.logit_block(),
             .draws = worker.draws(),
             .log_probs = worker.draw_log_probs()},
            pass, hidden);
  };
  if (graph && graph->empty()) graph->capture(context, compute);
  StageClock* const clock = pass.first ? nullptr : worker.stage_clock();
  if (!dist.first_stage()) worker.pipeline().receive_hidden(context, hidden);
  if (clock) clock->start(context);
  if (graph) {
    graph->launch(context);
  } else {
    compute();
  }
  if (clock) clock->stop(context, pass.tokens);
  if (!dist.last_stage()) worker.pipeline().send_hidden(context, hidden);
}

// More tokens keep the device busy for longer than the host takes to launch their kernels one by one.
constexpr int64_t kMaxCapturedTokens = 1024;

// Whether what a step wants of the model are draws alone.
bool draws_only(const StepPlan& plan) {
  return !plan.uses.empty() && std::all_of(plan.uses.begin(), plan.uses.end(),
                                           [](const LogitUse& use) { return use.sample && !use.keep; });
}

int64_t power_of_two(int64_t count, int64_t least) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(count, least))));
}

// Where rounding begins: LAMBADA has 51 kinds of steps, and with half of these numbers 70.
constexpr int64_t kMinKeys = 256, kMinQueries = 256;
constexpr int64_t kShortQuery = 64;  // up to here attention has a kernel of its own

// Counts rounded up so that few graphs serve all batches.
Padding padding_of(const StepPlan& plan, const KvCacheConfig& cache) {
  const Batch& batch = plan.batch;
  const int64_t pages = power_of_two(batch.max_pages, kMinKeys / cache.page_size);
  Padding padding = {.max_pages = pages,
                     .max_kv_length = pages * cache.page_size,
                     .spare_page = static_cast<int32_t>(cache.pages),
                     .spare_slot = cache.pages * cache.page_size};
  if (plan.prefill_tokens == 0) {  // one row a sequence
    padding.sequences = padding.tokens = padding.draws = padded_sequences(batch.sequences());
    return padding;
  }
  // One token in 16 more at the most, or 16: they cost what real ones do. Where there are any, a sequence
  // more takes them.
  int64_t tokens = 0;
  for (int64_t sequences : {batch.sequences(), batch.sequences() + 1}) {
    padding.sequences = padded_sequences(sequences);
    tokens = batch.tokens() + padding.sequences - batch.sequences();
    const int64_t step = std::max<int64_t>(power_of_two(tokens + 1, 1) / 32, 16);
    padding.tokens = (tokens + step - 1) / step * step;
    if (padding.sequences > batch.sequences() || padding.tokens == tokens) break;
  }
  padding.draws = padded_sequences(static_cast<int64_t>(plan.sample_rows.size()));
  // Attention needs a bound of the longest query, and whether it is a short one.
  int64_t longest = padding.tokens - tokens + 1;
  for (int64_t s = 0; s < batch.sequences(); ++s)
    longest = std::max<int64_t>(longest, batch.query_offsets[s + 1] - batch.query_offsets[s]);
  padding.max_query = longest <= kShortQuery ? kShortQuery : power_of_two(longest, kMinQueries);
  padding.max_kv_length = std::max(padding.max_kv_length, padding.max_query);
  return padding;
}

// A step in a graph.
void run_captured(Worker& worker, const StepPlan& plan, Pass& pass) {
  const Padding padding = padding_of(plan, worker.cache().config());
  pass.input = worker.input().upload(worker.context(), plan, &padding);
  pass.input.batch.previous_ids = worker.draws();
  pass.every_row = plan.prefill_tokens == 0;
  Graph* graph = worker.graph({.sequences = padding.sequences,
                               .tokens = padding.tokens,
                               .draws = padding.draws,
                               .max_pages = padding.max_pages,
                               .max_query = pass.input.batch.max_query,
                               .candidates = pass.candidates,
                               .greedy = pass.greedy,
                               .log_probs = pass.log_probs});
  pass.first = !graph;
  run_pass(worker, pass, graph);
}

// What is known by now of how long this stage computed.
void take_samples(Worker& worker, StepResult& result) {
  if (StageClock* const clock = worker.stage_clock()) clock->take(result.samples);
}

// What the step drew, on its way to the host.
void copy_draws(Worker& worker, StepResult& result) {
  const Context& context = worker.context();
  const size_t draws = result.drawn_for.size(), capacity = worker.draws().size();
  if (result.host_capacity < capacity) {
    const size_t bytes = capacity * (sizeof(int32_t) + sizeof(float));
    result.host_draws = context.device == Device::kCpu ? allocate_host(bytes) : allocate_pinned(bytes);
    result.host_capacity = capacity;
  }
  std::byte* host = result.host_draws.get();
  copy_to_host(context, host, worker.draws().data(), draws * sizeof(int32_t));
  if (result.want_log_probs) {
    copy_to_host(context, host + capacity * sizeof(int32_t), worker.draw_log_probs().data(),
                 draws * sizeof(float));
  }
}

}  // namespace

int64_t padded_sequences(int64_t sequences) {
  // Under a quarter of the count: padding rows cost kernels little, and a graph takes milliseconds to
  // capture.
  int64_t step = 1;
  while (sequences > 8 * step) step *= 2;
  return (sequences + step - 1) / step * step;
}

void launch_step(Worker& worker, const StepPlan& plan, StepResult& result) {
  const Context& context = worker.context();
  result.ids.assign(plan.sequences.size(), -1);
  result.log_probs.assign(plan.sequences.size(), 0.0f);
  result.faults.assign(plan.sequences.size(), nullptr);
  result.logits.clear();
  result.samples.clear();
  result.sequences = plan.sequences;
  result.drawn_for.clear();
  for (const LogitUse& use : plan.uses)
    if (use.sample) result.drawn_for.push_back(use.sequence);
  result.want_log_probs = plan.want_log_probs;
  if (!result.done) result.done = std::make_unique<Event>(context.device, worker.ranks().limit());

  worker.reserve_draws(static_cast<int64_t>(plan.sample_rows.size()));
  for (const PageCopy& copy : plan.copies) worker.cache().copy_page(context, copy.from, copy.to);
  const bool draws = draws_only(plan);
  Pass pass{.input = {},
            .uses = draws ? std::span<const LogitUse>() : plan.uses,
            .sequences = plan.sequences,
            .greedy = std::all_of(plan.sample_rows.begin(), plan.sample_rows.end(), is_greedy),
            .log_probs = plan.want_log_probs,
            .candidates = candidates_wanted(plan.sample_rows, worker.model().shape().vocab_size),
            .tokens = plan.batch.tokens(),
            .result = &result};
  // Those can be padded and captured.
  if (context.device == Device::kCuda && worker.config().graphs && draws &&
      plan.batch.tokens() <= kMaxCapturedTokens) {
    run_captured(worker, plan, pass);
  } else {
    pass.input = worker.input().upload(context, plan, nullptr);
    pass.input.batch.previous_ids = worker.draws();
    run_pass(worker, pass);
  }

  if (worker.dist().last_stage()) copy_draws(worker, result);
  result.done->record(context);
  take_samples(worker, result);
}

void collect_step(Worker& worker, StepResult& result) {
  result.done->wait();
  worker.ranks().check();
  take_samples(worker, result);
  if (!worker.dist().last_stage()) {
    if (worker.dist().tensor_rank == 0) worker.pipeline().receive_result(result);
    return;
  }
  const auto* ids = reinterpret_cast<const int32_t*>(result.host_draws.get());
  const auto* log_probs = reinterpret_cast<const float*>(ids + result.host_capacity);
  for (size_t i = 0; i < result.drawn_for.size(); ++i) {
    const int32_t s = result.drawn_for[i];
    if (ids[i] == kNoId) {
      result.faults[s] = std::make_exception_ptr(Error(
          ErrorCode::kUnsupported,
          fmt::format(
              "the logits of this request are not numbers (NaN or infinity), so no id can be drawn: its "
              "activations exceed what {} holds, or the weights are damaged{}",
              name_of(worker.context().activation),
              worker.context().activation == DType::kF16 ? "; try --data-type bf16 or fp32" : "")));
      continue;
    }
    result.ids[s] = ids[i];
    if (result.want_log_probs) result.log_probs[s] = log_probs[i];
  }
}

}  // namespace bolide
