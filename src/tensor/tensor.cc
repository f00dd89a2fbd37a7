#include "tensor/tensor.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "tensor/allocator.h"
#include "tensor/device.h"

namespace bolide {
namespace {
std::atomic<size_t> g_in_use{0};  // NOLINT: process-wide accounting, read by the memory report
std::atomic<size_t> g_peak{0};    // NOLINT
constexpr size_t kHugePage = size_t{2} << 20;
}  // namespace

std::shared_ptr<std::byte> allocate_host(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  if (bytes > std::numeric_limits<size_t>::max() - alignment)
    fail(ErrorCode::kResource, "cannot allocate {} bytes", bytes);
  const size_t rounded = std::max((bytes + alignment - 1) / alignment * alignment, alignment);
  void* memory = std::aligned_alloc(alignment, rounded);
  if (!memory) fail(ErrorCode::kResource, "out of memory: cannot allocate {} bytes", bytes);
  if (alignment == kHugePage) ::madvise(memory, rounded, MADV_HUGEPAGE);
  const size_t now = g_in_use.fetch_add(rounded) + rounded;
  size_t peak = g_peak.load();
  while (peak < now && !g_peak.compare_exchange_weak(peak, now)) {
  }
  return {static_cast<std::byte*>(memory), [rounded](std::byte* p) {
            g_in_use.fetch_sub(rounded);
            std::free(p);
          }};
}

size_t host_bytes_in_use() { return g_in_use.load(); }
size_t host_bytes_peak() { return g_peak.load(); }

View View::slice_rows(int64_t begin, int64_t end) const {
  BOLIDE_CHECK(shape.rank() >= 1 && 0 <= begin && begin <= end && end <= shape[0]);
  View part = *this;
  part.data = static_cast<std::byte*>(data) + static_cast<size_t>(begin * row_stride) * size_of(dtype);
  part.shape[0] = end - begin;
  return part;
}

View View::slice_columns(int64_t begin, int64_t end) const {
  BOLIDE_CHECK(shape.rank() == 2 && 0 <= begin && begin <= end && end <= shape[1]);
  View part = *this;
  part.data = static_cast<std::byte*>(data) + static_cast<size_t>(begin) * size_of(dtype);
  part.shape[1] = end - begin;
  return part;
}

View View::reshape(Shape to) const {
  BOLIDE_CHECK(contiguous() && to.count() == shape.count(), "{} to {}", shape.str(), to.str());
  return {data, dtype, to, device};
}

Tensor Tensor::allocate(Shape shape, DType dtype, Device device) {
  size_t bytes = size_of(dtype);
  for (int64_t extent : shape.extents()) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(extent), &bytes)) {
      fail(ErrorCode::kResource, "cannot allocate a tensor of shape {}", shape.str());
    }
  }
  Tensor made;
  made.storage_ = device == Device::kCpu ? allocate_host(bytes) : allocate_device(bytes);
  made.view_ = View(made.storage_.get(), dtype, shape, device);
  return made;
}

Tensor Tensor::without_memory(Shape shape, DType dtype, Device device) {
  Tensor made;
  made.view_ = View(kNoMemory, dtype, shape, device);
  return made;
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor made = allocate(shape, dtype, device);
  const Context context{.device = device};
  fill_zero(context, made.view_.data, made.bytes());
  synchronize(context);
  return made;
}

Tensor tensor_of(const Context& context, std::span<const float> values) {
  const Shape shape = {static_cast<int64_t>(values.size())};
  if (context.counting()) return Tensor::without_memory(shape, DType::kF32, context.device);
  Tensor made = Tensor::allocate(shape, DType::kF32, context.device);
  copy_to_device(context, made.view().data, values.data(), made.bytes());
  synchronize(context);
  return made;
}

}  // namespace bolide
