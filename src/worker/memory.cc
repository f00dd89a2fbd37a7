#include "worker/memory.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "ops/matmul.h"
#include "worker/exact.h"

namespace bolide {

StepMemory step_memory(const ModelConfig& model, const Dist& dist, const WeightStorage& storage,
                       int64_t step_tokens, int64_t rows) {
  const Exact tokens = step_tokens, logit_rows = rows;
  constexpr int64_t kRounding = 4096;  // of a few dozen blocks to whole lines
  const int64_t hidden = model.hidden_size, projected = model.projected_embedding,
                bytes = static_cast<int64_t>(size_of(storage.dtype));
  const int64_t heads = dist.tensor_part(model.heads).size(),
                inter = dist.tensor_part(model.mlp_width()).size();
  const int64_t kv_heads = dist.head_part(model.kv_heads).size(),
                ids = dist.last_stage() ? dist.vocab_part(model.vocab_size).size() : 0;
  const int64_t attention = (2 * heads + 2 * kv_heads) * model.head_size;
  // The residual stream; then of the sublayers the wider one, with a normed copy of its input or, where ranks
  // share it, this rank's part of the sum; or the head's rows.
  const Exact sublayer = tokens * (std::max(attention, inter) + hidden) * bytes;
  // Rows of logits of all ranks, where somebody wants whole ones: each rank's part on its way, and the whole.
  const Exact whole = dist.tensor_size == 1 ? 0 : logit_rows * (2 * ids * dist.tensor_size) * 4;
  const Exact head = logit_rows * (hidden + projected) * (4 + bytes) + whole;
  const Exact embedding = tokens * projected * (4 + bytes);
  const Exact logits = logit_rows * ids * 4;
  const Exact angles = tokens * model.rotary_dims * 4;  // a cosine and a sine a pair
  const Exact scratch = tokens * hidden * 4 + angles +
                        std::max({sublayer.value(), head.value(), embedding.value()}) +
                        kMatmulWorkspaceBytes + storage.scheme->scratch_bytes + kRounding;
  (void)(scratch + logits);  // StepMemory::total()
  return {.scratch = scratch.value(), .logits = logits.value()};
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
