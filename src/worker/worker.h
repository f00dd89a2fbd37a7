#pragma once

#include <map>
#include <memory>
#include <optional>

#include "cache/kv_cache.h"
#include "comm/process_group.h"
#include "models/model.h"
#include "tensor/arena.h"
#include "tensor/device.h"
#include "worker/pipeline.h"
#include "worker/stage_clock.h"
#include "worker/step_input.h"

namespace bolide {

struct WorkerConfig {
  // At most this much memory for a block of logits, but never under 16 rows: each block reads the whole head.
  static constexpr int64_t kLogitBlockBytes = int64_t{128} << 20;

  Device device = Device::kCpu;
  int device_index = 0;
  DType activation = DType::kF32;
  int threads = 1;
  int64_t max_batch_size = 64;
  int64_t logit_block_bytes = kLogitBlockBytes;
  bool deterministic = false;
  bool graphs = true;         // on a GPU: launch decode steps as captured graphs
  int64_t scratch_bytes = 0;  // taken at once; 0: as steps need them
};

// One rank: a model's part with the context, scratch memory and cache that it runs with. One thread at a
// time.
class Worker {
 public:
  // With all memory that it needs but the cache, which take_cache() brings. Throws kResource when it cannot
  // be had. `ranks` must outlive the worker, so that whoever meets its faults can still tell the others why
  // it ends.
  Worker(std::unique_ptr<Model> model, ProcessGroup& ranks, const WorkerConfig& config);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const WorkerConfig& config() const { return config_; }
  const Context& context() const { return context_; }
  const Model& model() const { return *model_; }
  const ProcessGroup& ranks() const { return ranks_; }
  const Dist& dist() const { return ranks_.dist; }
  Pipeline& pipeline() { return pipeline_; }
  // Once before the first step. Throws as KvCache does, and can then be called again.
  void take_cache(const KvCacheConfig& config);
  void drop_cache();
  KvCache& cache() { return *cache_; }
  StepInput& input() { return input_; }
  // Null where nobody asks how long this rank computes: in a pipeline the first tensor rank of a stage tells
  // for all of them.
  StageClock* stage_clock() { return stage_clock_ ? &*stage_clock_ : nullptr; }
  // Rows of logits that are computed at once.
  int64_t logit_block() const { return logit_block_; }
  static int64_t logit_block(const ModelShape& model, int64_t bytes);
  // Memory that was taken for steps at the start.
  int64_t step_bytes() const {
    return config_.scratch_bytes + static_cast<int64_t>(logits_.empty() ? 0 : logits_.bytes());
  }
  // [rows, this tensor rank's ids] fp32, rows <= logit_block(). The same memory each time; grows when first
  // needed.
  View logits(int64_t rows);
  // The ids that steps draw and their log-probabilities, on the device; a step reads what the one before has
  // left there. On a GPU there is room for max_batch_size and padding from the start, as graphs hold the
  // address; on the CPU for what reserve_draws() was asked for, so that a large max_batch_size costs nothing.
  void reserve_draws(int64_t count);
  std::span<int32_t> draws() const { return {draws_.as<int32_t>(), static_cast<size_t>(draws_.shape()[0])}; }
  std::span<float> draw_log_probs() const {
    return {log_probs_.as<float>(), static_cast<size_t>(log_probs_.shape()[0])};
  }

  // A step of these counts, which kernels are launched with.
  struct GraphKey {
    int64_t sequences = 0, tokens = 0, draws = 0, max_pages = 0, max_query = 0, candidates = 0;
    bool greedy = false, log_probs = false;
    auto operator<=>(const GraphKey&) const = default;
  };
  // Null as long as a step of these counts has not run outside a graph since the worker's memory last moved
  // (what is loaded and allocated on the way is then in place).
  Graph* graph(const GraphKey& key);

 private:
  ProcessGroup& ranks_;
  Pipeline pipeline_;
  std::unique_ptr<Model> model_;
  WorkerConfig config_;
  Stream stream_;
  Arena arena_;
  Context context_;
  std::optional<KvCache> cache_;
  StepInput input_;
  std::optional<StageClock> stage_clock_;
  int64_t logit_block_;
  Tensor logits_, draws_, log_probs_;
  std::map<GraphKey, std::unique_ptr<Graph>> graphs_;
  uint64_t memory_generation_ = 0;
};

// This rank's share of the cache that a model declares: its stage's layers, its tensor part of the kv heads.
KvCacheConfig cache_config(const Model& model, const Dist& dist, DType dtype, int64_t pages,
                           int64_t page_size);

}  // namespace bolide
