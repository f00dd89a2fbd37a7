#include "tensor/arena.h"

#include <algorithm>

namespace bolide {

View Arena::take(Shape shape, DType dtype) {
  constexpr size_t kMinBlock = size_t{4} << 20;
  const size_t bytes = (static_cast<size_t>(shape.count()) * size_of(dtype) + 63) / 64 * 64;
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes()) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    blocks_.push_back(
        Tensor::allocate({static_cast<int64_t>(std::max(bytes, kMinBlock))}, DType::kU8, device_));
    used_ = 0;
  }
  View view(static_cast<std::byte*>(blocks_[block_].view().data) + used_, dtype, shape, device_);
  used_ += bytes;
  return view;
}

}  // namespace bolide
