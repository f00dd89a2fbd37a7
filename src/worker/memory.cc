#include "worker/memory.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "decode/slices.h"
#include "worker/exact.h"
#include "worker/forward.h"
#include "worker/worker.h"

namespace bolide {

namespace {

// The other tensor ranks of a counting run: nobody.
class CountedGroup final : public Communicator {
 public:
  explicit CountedGroup(const Dist& dist) : dist_(dist) {}
  int size() const override { return dist_.tensor_size; }
  int rank() const override { return dist_.tensor_rank; }
  std::string_view name() const override { return "none"; }
  void all_reduce(const Context&, const View&) override {}
  void all_gather(const Context&, const View&, const View&) override {}
  void reduce_scatter(const Context&, const View&, const View&) override {}
  void broadcast(const Context&, const View&, int) override {}
  void send(const Context&, const View&, int) override {}
  void receive(const Context&, const View&, int) override {}
  void barrier(const Context&) override {}
  void reduce_add(const Context&, const View&, const View&, const View&) override {}

 private:
  Dist dist_;
};

// Of what is not the arena's: ops refuse views that overlap.
std::byte* const kBeside = kNoMemory + (int64_t{1} << 62);

// `count` elements that nobody reads.
template <class T>
std::span<T> unread(int64_t count) {
  return {reinterpret_cast<T*>(kBeside), static_cast<size_t>(count)};
}

}  // namespace

Context counting_context(Arena& arena, Device device, DType data_type, int threads) {
  return {.device = device,
          .threads = threads,
          .activation = activation_dtype(device, data_type),
          .arena = &arena};
}

StepMemory step_memory(const Model& model, const Dist& dist, DType data_type, const StepSize& size) {
  const ModelShape& config = model.shape();
  Arena arena = Arena::for_counting(size.device);
  Context context = counting_context(arena, size.device, data_type, size.threads);
  context.deterministic = size.deterministic;
  CountedGroup group(dist);
  if (dist.tensor_size > 1) context.tensor_comm = &group;
  KvCacheConfig cache = cache_config(model, dist, data_type, 1, 1);
  const std::vector<View> pages(
      static_cast<size_t>(cache.layers),
      View(kNoMemory, data_type, {1, cache.kv_heads, 1, cache.head_size}, size.device));

  const int64_t rows = size.logit_rows;
  const BatchView batch = {.token_ids = unread<const int32_t>(size.tokens),
                           .positions = unread<const int32_t>(size.tokens),
                           .query_offsets = unread<const int32_t>(rows + 1),
                           .kv_lengths = unread<const int32_t>(rows),
                           .page_table = unread<const int32_t>(rows),
                           .logit_rows = unread<const int32_t>(rows),
                           .prompt_lengths = unread<const int32_t>(rows),
                           .previous_ids = unread<const int32_t>(rows),
                           .slots = unread<const int64_t>(size.tokens),
                           .max_pages = 1,
                           .max_query = 1,
                           .max_kv_length = 1};
  const std::vector<SampleRow> sampled(static_cast<size_t>(rows));
  const std::vector<LogitUse> kept(static_cast<size_t>(rows), {.sequence = 0, .keep = true});
  const int64_t ids = dist.last_stage() ? dist.vocab_part(config.vocab_size).size() : 0;
  const PassMemory memory = {.cache = {pages, pages, batch},
                             .logits =
                                 [&](int64_t count) {
                                   return View(kBeside, DType::kF32, {count, ids}, size.device);
                                 },
                             .logit_block = rows,
                             .draws = unread<int32_t>(rows),
                             .log_probs = unread<float>(rows)};
  // The ways in which rows are drawn or kept: the largest alone; among candidates, and with all of a row,
  // each with log-probabilities; whole rows for a caller.
  const int64_t candidates = std::min(kMaxCandidates, config.vocab_size - 1);
  StepResult result;
  result.faults.resize(1);
  Pass pass;
  pass.input = {.batch = batch, .sample_rows = sampled};
  pass.result = &result;
  const auto run = [&](bool greedy, int64_t among, std::span<const LogitUse> uses) {
    pass.greedy = greedy;
    pass.log_probs = !greedy;
    pass.candidates = among;
    pass.uses = uses;
    const Arena::Scope scope(arena);
    forward(context, model, dist, memory, pass, arena.take({size.tokens, config.hidden_size}, DType::kF32));
  };
  run(true, 1, {});
  run(false, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(candidates, 1)))),
      {});
  run(false, 0, {});
  run(false, 0, kept);
  StepMemory memory_of_step = {.scratch = static_cast<int64_t>(arena.peak()),
                               .logits = (Exact(rows) * ids * 4).value()};
  (void)(Exact(memory_of_step.scratch) + memory_of_step.logits);  // StepMemory::total()
  return memory_of_step;
}

int64_t default_kv_tokens(int64_t max_batch_size, int64_t page_size, int64_t bytes_per_token,
                          int64_t available_bytes) {
  constexpr int64_t kTokensPerSequence = 2048;
  const int64_t in_memory = available_bytes / 2 / std::max<int64_t>(bytes_per_token, 1);
  const int64_t wanted = std::min(max_batch_size * kTokensPerSequence, in_memory);
  return std::max(wanted / page_size, int64_t{1}) * page_size;
}

int64_t gpu_cache_tokens(std::span<const GpuShare> ranks, double fraction, int64_t page_size,
                         int64_t wanted) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  struct Gpu {
    int64_t free_bytes = kMax, token_bytes = 0;
    std::vector<size_t> ranks;
  };
  std::map<std::string_view, Gpu> gpus;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const GpuShare& share = ranks[rank];
    Gpu& gpu = gpus[share.gpu];
    gpu.free_bytes = std::min(gpu.free_bytes, share.free_bytes);
    gpu.token_bytes += share.token_bytes;
    gpu.ranks.push_back(rank);
  }
  int64_t fewest = kMax;
  for (const auto& [name, gpu] : gpus) {
    const int64_t left = gpu.free_bytes - (wanted > 0 ? 0 : std::min(kGpuSpareBytes, gpu.free_bytes / 2));
    const int64_t share =
        std::min(static_cast<int64_t>(static_cast<double>(gpu.free_bytes) * fraction), left);
    const int64_t fit = share / gpu.token_bytes / page_size * page_size;
    if (fit < std::max(page_size, wanted)) {
      fail(ErrorCode::kResource,
           "{} has {} bytes left for the cache{}, {} tokens of {} bytes at a fraction of {}: {}", name,
           gpu.free_bytes, ranks.size() == 1 ? "" : fmt::format(" of rank(s) {}", fmt::join(gpu.ranks, ", ")),
           fit, gpu.token_bytes, fraction,
           wanted > 0 ? "lower max_kv_tokens, or take a GPU with more memory"
                      : "end what else runs there, or take a GPU with more memory");
    }
    fewest = std::min(fewest, fit);
  }
  return fewest;
}

}  // namespace bolide
