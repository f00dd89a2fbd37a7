#include "quant/weight_format.h"

namespace bolide {
namespace {

Weight allocate(int64_t rows, int64_t cols, DType dtype, Device device) {
  return {&kDenseFormat, allocate_packed(rows, cols, dtype, device)};
}

void store(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
           Weight& weight) {
  pack_block(context, block, transposed, row0, col0, weight.matrix);
}

void dense_matmul(const Context& context, const Weight& weight, MatmulArgs args) {
  args.w = &weight.matrix;
  matmul(context, args);
}

int64_t bytes(const Weight& weight) { return static_cast<int64_t>(weight.matrix.data.bytes()); }

}  // namespace

const WeightFormat kDenseFormat = {"dense", allocate, store, dense_matmul, bytes};

}  // namespace bolide
