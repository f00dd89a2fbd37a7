#include "tensor/arena.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace bolide {
namespace {
constexpr size_t kAlign = 256;
}  // namespace

void Arena::reserve(size_t bytes) {
  blocks_.clear();
  blocks_.push_back(Tensor::allocate({static_cast<int64_t>(bytes)}, DType::kU8, device_));
  ++generation_;
}

View Arena::count(Shape shape, DType dtype) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t bytes = static_cast<int64_t>(size_of(dtype)), end = 0;
  bool fits = true;
  for (const int64_t extent : shape.extents()) fits = fits && !__builtin_mul_overflow(bytes, extent, &bytes);
  fits = fits && bytes <= kMax - static_cast<int64_t>(kAlign);
  bytes = (bytes + static_cast<int64_t>(kAlign) - 1) / static_cast<int64_t>(kAlign) *
          static_cast<int64_t>(kAlign);
  if (!fits || __builtin_add_overflow(static_cast<int64_t>(taken_), bytes, &end)) {
    fail(ErrorCode::kUsage,
         "the memory for these sizes is more than 2^63 bytes: ask for a smaller batch size or length");
  }
  View view(kNoMemory + taken_, dtype, shape, device_);
  taken_ = static_cast<size_t>(end);
  peak_ = std::max(peak_, taken_);
  return view;
}

View Arena::take(Shape shape, DType dtype) {
  if (counting_) return count(shape, dtype);
  constexpr size_t kMinBlock = size_t{4} << 20;
  const size_t bytes = (static_cast<size_t>(shape.count()) * size_of(dtype) + kAlign - 1) / kAlign * kAlign;
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes()) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    // The first block holds the most ever taken and a quarter more, so that slow growth is not a new block a
    // step.
    const size_t size =
        blocks_.empty() ? std::max({bytes, kMinBlock, peak_ + peak_ / 4}) : std::max(bytes, kMinBlock);
    blocks_.push_back(Tensor::allocate({static_cast<int64_t>(size)}, DType::kU8, device_));
    used_ = 0;
    ++generation_;
  }
  View view(static_cast<std::byte*>(blocks_[block_].view().data) + used_, dtype, shape, device_);
  used_ += bytes;
  taken_ += bytes;
  peak_ = std::max(peak_, taken_);
  return view;
}

}  // namespace bolide
