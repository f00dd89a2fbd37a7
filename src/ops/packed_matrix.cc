#include "ops/packed_matrix.h"

#include "ops/check.h"

namespace bolide {

PackedMatrix allocate_packed(int64_t rows, int64_t cols, DType dtype, Device device) {
  BOLIDE_CHECK(rows >= 0 && cols >= 0);
  BOLIDE_CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16);
  PackedMatrix matrix;
  matrix.dtype = dtype;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.device = device;
  const Shape shape = device == Device::kCpu ? Shape{matrix.panels(), matrix.panel_stride()}
                                             : Shape{rows, matrix.padded_cols()};
  matrix.data = Tensor::zeros(shape, dtype, device);
  return matrix;
}

void pack_block(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
                PackedMatrix& matrix) {
  check_context(context);
  BOLIDE_CHECK(block.shape.rank() == 2 && is_float(block.dtype), "block is {} {}", name_of(block.dtype),
               block.shape.str());
  const int64_t rows = block.shape[transposed ? 1 : 0], cols = block.shape[transposed ? 0 : 1];
  BOLIDE_CHECK(row0 >= 0 && col0 >= 0 && row0 + rows <= matrix.rows && col0 + cols <= matrix.cols,
               "block [{}, {}] at ({}, {}) leaves the matrix [{}, {}]", rows, cols, row0, col0, matrix.rows,
               matrix.cols);
  BOLIDE_CHECK(block.device == matrix.device && context.device == matrix.device);
  if (rows == 0 || cols == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda)
      return cuda::pack_block(context, block, transposed, row0, col0, matrix);
  }
  cpu::pack_block(context, block, transposed, row0, col0, matrix);
}

}  // namespace bolide
