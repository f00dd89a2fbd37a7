#include "tensor/arena.h"

#include <algorithm>

namespace bolide {

void Arena::reserve(size_t bytes) {
  blocks_.clear();
  blocks_.push_back(Tensor::allocate({static_cast<int64_t>(bytes)}, DType::kU8, device_));
  ++generation_;
}

View Arena::take(Shape shape, DType dtype) {
  constexpr size_t kMinBlock = size_t{4} << 20;
  constexpr size_t kAlign = 256;
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
