#pragma once

#include <span>
#include <string>

#include "models/model.h"

namespace bolide {

// What steps take besides weights and cache. On a GPU the engine takes it all when it starts, so this is what
// it will have taken.
struct StepMemory {
  int64_t scratch = 0;  // activations of one layer at a time, and the libraries' workspace
  int64_t logits = 0;
  int64_t total() const { return scratch + logits; }
};
// The largest step that is planned for.
struct StepSize {
  Device device = Device::kCpu;
  int threads = 1;
  bool deterministic = false;
  int64_t tokens = 0;
  int64_t logit_rows = 0;  // rows of logits at once
};
// Of one rank, found by running its part of the model once by a context that only counts. The model's weights
// have their shapes; their memory is of no matter. kUsage where that is beyond 2^63 bytes.
StepMemory step_memory(const Model& model, const Dist& dist, DType data_type, const StepSize& size);
// The context of such a run.
Context counting_context(Arena& arena, Device device, DType data_type, int threads);

// The size of the cache in tokens when the user gives none: 2048 tokens for each of max_batch_size sequences,
// but at most half of the available memory, and at least one page. Untouched pages cost nothing.
int64_t default_kv_tokens(int64_t max_batch_size, int64_t page_size, int64_t bytes_per_token,
                          int64_t available_bytes);

// What a rank sees of its GPU, all ranks having taken what they need but for their caches.
struct GpuShare {
  std::string gpu;          // the same words for the same GPU only
  int64_t free_bytes = 0;   // of the GPU
  int64_t token_bytes = 0;  // of the rank's cache
};
// Where nobody asks for a size, so much of a GPU is left, or half where that is less: for graphs, arrays of
// steps and libraries, and for processes that come later. Of an H200 alone the default fraction leaves 14 GB,
// of which a second process leaves 1.4, and a third could leave nothing.
inline constexpr int64_t kGpuSpareBytes = int64_t{512} << 20;
// The tokens of cache that each of the ranks can have: `fraction` of what a GPU has free, for as many whole
// pages in each of its ranks' caches, on the GPU that has the fewest. All of it is taken at once, so a rank
// must not count on what another takes. kResource, with the GPU and its ranks, where that is less than a page
// or than `wanted`.
int64_t gpu_cache_tokens(std::span<const GpuShare> ranks, double fraction, int64_t page_size, int64_t wanted);

}  // namespace bolide
