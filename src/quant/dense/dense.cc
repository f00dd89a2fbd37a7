#include "quant/packed_weight.h"

namespace bolide {
namespace {

class DenseWeight final : public PackedWeight {
 public:
  using PackedWeight::PackedWeight;
  void store(const Context& context, const View& block, bool transposed, int64_t row0,
             int64_t col0) override {
    pack_block(context, block, transposed, row0, col0, matrix_);
  }
};

std::unique_ptr<StoredWeight> allocate(const Context& context, int64_t rows, int64_t cols, DType dtype) {
  return std::make_unique<DenseWeight>(context.counting()
                                           ? packed_without_memory(rows, cols, dtype, dtype, context.device)
                                           : allocate_packed(rows, cols, dtype, context.device));
}

int64_t bytes(int64_t rows, int64_t cols, DType dtype, Device device) {
  return packed_bytes(rows, cols, dtype, device);
}

}  // namespace

const WeightScheme kDenseScheme = {.name = "dense",
                                   .summary = "as --data-type says",
                                   .allocate = allocate,
                                   .bytes = bytes,
                                   .loading_bytes = [](int64_t, int64_t, Device) { return int64_t{0}; },
                                   .library_gets_whole_products = true};

}  // namespace bolide
