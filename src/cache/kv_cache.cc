#include "cache/kv_cache.h"

#include <sys/mman.h>

#include "tensor/device.h"

namespace bolide {
namespace {

// Anonymous pages: zero when first read, physical only once written. Zeros matter, because attention kernels
// may load the unused rows of a sequence's last page and multiply them by a probability of 0.
std::shared_ptr<std::byte> map_zeroed(int64_t bytes) {
  void* memory = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    fail(ErrorCode::kResource, "cannot map {} bytes for the KV cache: lower max_kv_tokens or max_batch_size",
         bytes);
  }
  return {static_cast<std::byte*>(memory),
          [bytes](std::byte* p) { ::munmap(p, static_cast<size_t>(bytes)); }};
}

int64_t product(std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (int64_t factor : factors) {
    if (factor < 0 || __builtin_mul_overflow(result, factor, &result))
      fail(ErrorCode::kResource, "the KV cache would exceed 2^63 bytes: lower max_kv_tokens");
  }
  return result;
}

}  // namespace

int64_t KvCacheConfig::page_bytes() const {
  return product({layers, 2, kv_heads, page_size, head_size, static_cast<int64_t>(size_of(dtype))});
}

KvCache::KvCache(const KvCacheConfig& config) : config_(config) {
  BOLIDE_CHECK(config.layers > 0 && config.kv_heads > 0 && config.head_size > 0 && config.pages > 0 &&
               config.page_size > 0);
  const int64_t pages = config.pages + (config.spare_page ? 1 : 0);
  const int64_t side = product({pages, config.page_bytes()}) / (2 * config.layers);
  const int64_t bytes = side * 2 * config.layers;
  if (config.device == Device::kCpu) {
    storage_ = map_zeroed(bytes);
  } else {
    storage_ = allocate_device(static_cast<size_t>(bytes));
    const Context context{.device = config.device};
    fill_zero(context, storage_.get(), static_cast<size_t>(bytes));
    synchronize(context);
  }
  const Shape shape{pages, config.kv_heads, config.page_size, config.head_size};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    k_.emplace_back(storage_.get() + 2 * layer * side, config.dtype, shape, config.device);
    v_.emplace_back(storage_.get() + (2 * layer + 1) * side, config.dtype, shape, config.device);
  }
}

void KvCache::copy_page(const Context& context, int32_t from, int32_t to) {
  BOLIDE_CHECK(0 <= from && from < config_.pages && 0 <= to && to < config_.pages && from != to);
  for (const std::vector<View>* sides : {&k_, &v_}) {
    for (const View& side : *sides) {
      const View source = side.slice_rows(from, from + 1), target = side.slice_rows(to, to + 1);
      copy_on_device(context, target.data, source.data,
                     static_cast<size_t>(source.shape.count()) * size_of(side.dtype));
    }
  }
}

}  // namespace bolide
