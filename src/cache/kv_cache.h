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
  bool spare_page = false;  // one page more, index `pages`, for rows that only fill up a captured step
  // Bytes of one page over all layers, keys and values.
  int64_t page_bytes() const;
};

// All that attention sees of the cache: layer l's pages with this batch's page table.
class KvView {
 public:
  KvView(const std::vector<View>& k, const std::vector<View>& v, const BatchView& batch)
      : k_(k), v_(v), batch_(batch) {}
  int64_t layers() const { return std::ssize(k_); }
  PagedKv layer(int64_t l) const { return {k_[l], v_[l], batch_.page_table, batch_.max_pages}; }
  const BatchView& batch() const { return batch_; }

 private:
  const std::vector<View>& k_;
  const std::vector<View>& v_;
  BatchView batch_;
};

// The memory of the cache: per layer, keys and values of [pages, kv_heads, page_size, head_size]. It reads as
// zero until written. On the CPU it costs no physical memory until then, so its size is a limit, not a price;
// on a GPU all of it is taken at once.
class KvCache {
 public:
  // Throws kResource when the address space does not hold it, kUnsupported for a device that is not built in.
  explicit KvCache(const KvCacheConfig& config);
  const KvCacheConfig& config() const { return config_; }
  KvView view(const BatchView& batch) const { return {k_, v_, batch}; }
  // Copies one page's contents in all layers (copy on write after a fork). Ordered on context.stream.
  void copy_page(const Context& context, int32_t from, int32_t to);

 private:
  KvCacheConfig config_;
  std::shared_ptr<std::byte> storage_;
  std::vector<View> k_, v_;  // [layers]
};

}  // namespace bolide
