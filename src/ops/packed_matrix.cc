#include "ops/packed_matrix.h"

#include "ops/check.h"

namespace bolide {

PackedMatrix allocate_packed(int64_t rows, int64_t cols, DType dtype) {
  BOLIDE_CHECK(rows >= 0 && cols >= 0);
  BOLIDE_CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16);
  PackedMatrix matrix;
  matrix.dtype = dtype;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.data = Tensor::zeros({matrix.panels(), matrix.panel_stride()}, dtype);
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
  if (rows == 0 || cols == 0) return;
  cpu::pack_block(context, block, transposed, row0, col0, matrix);
}

}  // namespace bolide
