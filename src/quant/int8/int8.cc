#include "quant/int8/int8.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "quant/packed_weight.h"
#include "tensor/device.h"

namespace bolide {
namespace {

class Int8Weight final : public PackedWeight {
 public:
  using PackedWeight::PackedWeight;

  void store(const Context& context, const View& block, bool transposed, int64_t row0,
             int64_t col0) override {
    pack_block(context, block, transposed, row0, col0, whole(context));
  }
  void see_rows(int64_t row0, std::span<const float> largest) override {
    std::lock_guard lock(mutex_);
    at_least_.resize(static_cast<size_t>(matrix_.rows));
    for (size_t i = 0; i < largest.size(); ++i) {
      float& row = at_least_[static_cast<size_t>(row0) + i];
      row = std::max(row, largest[i]);
    }
  }
  void finish(const Context& context) override {
    Tensor bound;
    if (!at_least_.empty()) {
      bound = Tensor::allocate({matrix_.rows}, DType::kF32, context.device);
      copy_to_device(context, bound.view().data, at_least_.data(), bound.bytes());
    }
    quantize_rows(context, {.from = &whole(context), .at_least = bound, .to = &matrix_});
    synchronize(context);
    whole_ = {};
    at_least_ = {};
  }

 private:
  // As read: a row's scale is known when all of it is there.
  PackedMatrix& whole(const Context& context) {
    std::lock_guard lock(mutex_);
    if (whole_.data.empty())
      whole_ = allocate_packed(matrix_.rows, matrix_.cols, DType::kF32, context.device);
    return whole_;
  }

  std::mutex mutex_;
  PackedMatrix whole_;
  std::vector<float> at_least_;
};

std::unique_ptr<StoredWeight> allocate(const Context& context, int64_t rows, int64_t cols, DType dtype) {
  return std::make_unique<Int8Weight>(
      context.counting() ? packed_without_memory(rows, cols, DType::kI8, dtype, context.device)
                         : allocate_packed_int8(rows, cols, dtype, context.device));
}

int64_t bytes(int64_t rows, int64_t cols, DType, Device device) {
  return packed_bytes(rows, cols, DType::kI8, device);
}

int64_t loading_bytes(int64_t rows, int64_t cols, Device device) {
  return packed_bytes(rows, cols, DType::kF32, device);
}

}  // namespace

const WeightScheme kInt8Scheme = {
    .name = "int8",
    .summary = "a byte a weight and one scale an output channel, made while loading",
    .allocate = allocate,
    .bytes = bytes,
    .loading_bytes = loading_bytes,
    .whole_rows = true,
    .int8_mode = 1};

}  // namespace bolide
