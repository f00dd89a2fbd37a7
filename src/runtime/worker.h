#pragma once

#include <memory>

#include "cache/kv_cache.h"
#include "comm/dist.h"
#include "models/model.h"
#include "tensor/arena.h"

namespace bolide {

// One rank: a model's part with the context, scratch memory and cache that it runs with. One thread at a
// time.
class Worker {
 public:
  // At most this much memory for a block of logits, but never under 16 rows: each block reads the whole head.
  static constexpr int64_t kLogitBlockBytes = int64_t{128} << 20;

  // Throws kResource when the cache cannot be mapped.
  Worker(std::unique_ptr<Model> model, const KvCacheConfig& cache, int threads, const Dist& dist,
         int64_t logit_block_bytes = kLogitBlockBytes);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const Context& context() const { return context_; }
  const Model& model() const { return *model_; }
  const Dist& dist() const { return dist_; }
  KvCache& cache() { return cache_; }
  // Rows of logits that are computed at once.
  int64_t logit_block() const { return logit_block_; }
  // [rows, vocab] fp32, rows <= logit_block(). The same memory each time; grows when first needed.
  View logits(int64_t rows);

 private:
  std::unique_ptr<Model> model_;
  Dist dist_;
  Arena arena_;
  Context context_;
  KvCache cache_;
  int64_t logit_block_;
  Tensor logits_;
};

// This rank's share of the cache of a model: its stage's layers, its tensor part of the kv heads.
KvCacheConfig cache_config(const ModelConfig& model, const Dist& dist, DType dtype, int64_t pages,
                           int64_t page_size);

}  // namespace bolide
