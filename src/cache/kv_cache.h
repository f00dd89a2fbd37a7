#pragma once

#include <memory>
#include <vector>

#include "cache/batch.h"
#include "ops/attention.h"

namespace bolide {

struct KvCacheConfig {
  int64_t layers = 0;
  int64_t kv_heads = 0;  // of this rank
  int64_t head_size = 0;
  int64_t pages = 0;
  int64_t page_size = 16;
  DType dtype = DType::kF32;
  Device device = Device::kCpu;
  // Bytes of one page over all layers, keys and values.
  int64_t page_bytes() const;
};

// All that attention sees of the cache: layer l's pages with this batch's page table.
class KvView {
 public:
  KvView(const std::vector<View>& k, const std::vector<View>& v, const Batch& batch)
      : k_(k), v_(v), batch_(batch) {}
  PagedKv layer(int64_t l) const { return {k_[l], v_[l], batch_.page_table, batch_.max_pages}; }
  const Batch& batch() const { return batch_; }

 private:
  const std::vector<View>& k_;
  const std::vector<View>& v_;
  const Batch& batch_;
};

// The memory of the cache: per layer, keys and values of [pages, kv_heads, page_size, head_size]. It reads as
// zero until written and costs no physical memory until then, so its size is a limit, not a price.
class KvCache {
 public:
  // Throws kResource when the address space does not hold it, kUnsupported for a device that is not built in.
  explicit KvCache(const KvCacheConfig& config);
  const KvCacheConfig& config() const { return config_; }
  KvView view(const Batch& batch) const { return {k_, v_, batch}; }
  // Copies one page's contents in all layers (copy on write after a fork).
  void copy_page(int32_t from, int32_t to);

 private:
  KvCacheConfig config_;
  std::shared_ptr<std::byte> storage_;
  std::vector<View> k_, v_;  // [layers]
};

}  // namespace bolide
