#include "quant/weight_format.h"

namespace bolide {
namespace {

Weight allocate(int64_t rows, int64_t cols, DType dtype) {
  return {&kDenseFormat, allocate_packed(rows, cols, dtype)};
}

void store(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
           Weight& weight) {
  pack_block(context, block, transposed, row0, col0, weight.matrix);
}

void dense_matmul(const Context& context, const Weight& weight, const View& x, const View& bias,
                  Activation activation, const View& y) {
  matmul(context, {.x = x, .w = &weight.matrix, .bias = bias, .y = y, .activation = activation});
}

int64_t bytes(const Weight& weight) { return static_cast<int64_t>(weight.matrix.data.bytes()); }

}  // namespace

const WeightFormat kDenseFormat = {"dense", allocate, store, dense_matmul, bytes};

}  // namespace bolide
