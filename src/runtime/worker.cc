#include "runtime/worker.h"

#include <algorithm>

namespace bolide {
namespace {

constexpr int64_t kMinLogitBlock = 16;

}  // namespace

Worker::Worker(std::unique_ptr<Model> model, const KvCacheConfig& cache, int threads, const Dist& dist,
               int64_t logit_block_bytes)
    : model_(std::move(model)),
      dist_(dist),
      arena_(cache.device),
      context_{.device = cache.device, .threads = threads, .arena = &arena_},
      cache_(cache) {
  const int64_t row_bytes = model_->config().vocab_size * static_cast<int64_t>(sizeof(float));
  logit_block_ = std::max(kMinLogitBlock, logit_block_bytes / row_bytes);
}

View Worker::logits(int64_t rows) {
  BOLIDE_CHECK(rows <= logit_block_);
  if (logits_.empty() || logits_.shape()[0] < rows) {
    // Doubling, so that a batch that grows by one each step does not allocate each step.
    const int64_t have = logits_.empty() ? 0 : logits_.shape()[0];
    logits_ = Tensor();
    logits_ = Tensor::allocate({std::clamp(2 * have, rows, logit_block_), model_->config().vocab_size},
                               DType::kF32, context_.device);
  }
  return logits_.view().slice_rows(0, rows);
}

KvCacheConfig cache_config(const ModelConfig& model, const Dist& dist, DType dtype, int64_t pages,
                           int64_t page_size) {
  return {.layers = dist.stage_layers(model.layers).size(),
          .kv_heads = dist.tensor_part(model.kv_heads).size(),
          .head_size = model.head_size,
          .pages = pages,
          .page_size = page_size,
          .dtype = dtype};
}

}  // namespace bolide
