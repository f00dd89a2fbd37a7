#include "worker/worker.h"

#include <algorithm>

#include "worker/step.h"

namespace bolide {
namespace {

constexpr int64_t kMinLogitBlock = 16;

}  // namespace

Worker::Worker(std::unique_ptr<Model> model, ProcessGroup& ranks, const WorkerConfig& config)
    : ranks_(ranks),
      pipeline_(ranks_),
      model_(std::move(model)),
      config_(config),
      stream_(config.device),
      arena_(config.device),
      context_{.device = config.device,
               .device_index = config.device_index,
               .threads = config.threads,
               .stream = stream_.get(),
               .activation = config.activation,
               .deterministic = config.deterministic,
               .arena = &arena_,
               .tensor_comm = ranks_.tensor.get()},
      input_(config.device, ranks_.limit()) {
  if (dist().pipeline_size > 1 && dist().tensor_rank == 0)
    stage_clock_.emplace(context_.device, dist().pipeline_rank);
  logit_block_ = logit_block(model_->shape(), config.logit_block_bytes);
  if (config.scratch_bytes > 0) arena_.reserve(static_cast<size_t>(config.scratch_bytes));
  if (context_.device == Device::kCpu) return;
  const int64_t rows = padded_sequences(config.max_batch_size);
  reserve_draws(rows);
  // Captured steps hold its address, so on a GPU it does not grow.
  if (dist().last_stage()) logits(std::min(logit_block_, rows));
}

void Worker::take_cache(const KvCacheConfig& config) { cache_.emplace(config); }

void Worker::drop_cache() {
  cache_.reset();
  if (context_.device == Device::kCuda) trim_device_memory();
}

void Worker::reserve_draws(int64_t count) {
  const int64_t have = draws_.empty() ? 0 : draws_.shape()[0];
  if (have > 0 && count <= have) return;
  const int64_t rows = std::max({count, 2 * have, int64_t{16}});
  Tensor ids = Tensor::zeros({rows}, DType::kI32, context_.device);
  Tensor log_probs = Tensor::zeros({rows}, DType::kF32, context_.device);
  if (have > 0) {  // which the next step may ask for
    copy_on_device(context_, ids.view().data, draws_.view().data, draws_.bytes());
    copy_on_device(context_, log_probs.view().data, log_probs_.view().data, log_probs_.bytes());
  }
  draws_ = std::move(ids);
  log_probs_ = std::move(log_probs);
}

int64_t Worker::logit_block(const ModelShape& model, int64_t bytes) {
  return std::max(kMinLogitBlock, bytes / (model.vocab_size * static_cast<int64_t>(sizeof(float))));
}

View Worker::logits(int64_t rows) {
  BOLIDE_CHECK(rows <= logit_block_);
  if (logits_.empty() || logits_.shape()[0] < rows) {
    // Doubling, so that a batch that grows by one each step does not allocate each step.
    const int64_t have = logits_.empty() ? 0 : logits_.shape()[0];
    logits_ = Tensor();
    const int64_t ids = dist().vocab_part(model_->shape().vocab_size).size();
    logits_ = Tensor::allocate({std::clamp(2 * have, rows, logit_block_), ids}, DType::kF32, context_.device);
    graphs_.clear();
  }
  return logits_.view().slice_rows(0, rows);
}

Graph* Worker::graph(const GraphKey& key) {
  const uint64_t generation = arena_.generation() + input_.generation();  // both only grow
  if (generation != memory_generation_) {
    graphs_.clear();
    memory_generation_ = generation;
  }
  // Graphs take memory of the device that nobody predicts: not without bound.
  constexpr size_t kMaxGraphs = 256;
  if (graphs_.size() >= kMaxGraphs && !graphs_.contains(key)) graphs_.clear();
  const auto [found, first] = graphs_.try_emplace(key);
  if (first) return nullptr;
  if (!found->second) found->second = std::make_unique<Graph>();
  return found->second.get();
}

KvCacheConfig cache_config(const Model& model, const Dist& dist, DType dtype, int64_t pages,
                           int64_t page_size) {
  const std::vector<CacheSpec> declared = model.caches();
  BOLIDE_CHECK(declared.size() == 1, "{} caches: see check_driven()", declared.size());
  return {.layers = dist.stage_layers(declared[0].layers).size(),
          .kv_heads = dist.head_part(declared[0].kv_heads).size(),
          .head_size = declared[0].head_size,
          .pages = pages,
          .page_size = page_size,
          .dtype = dtype};
}

}  // namespace bolide
