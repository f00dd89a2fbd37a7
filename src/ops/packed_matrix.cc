#include "ops/packed_matrix.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

namespace {

// Without its memory.
PackedMatrix sized(int64_t rows, int64_t cols, DType dtype, Device device) {
  BOLIDE_CHECK(rows >= 0 && cols >= 0);
  PackedMatrix matrix;
  matrix.dtype = dtype;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.device = device;
  return matrix;
}
Shape shape_of(const PackedMatrix& matrix) {
  return matrix.device == Device::kCpu
             ? Shape{matrix.panels(), matrix.panel_stride()}
             : Shape{matrix.panels() * PackedMatrix::kPanelRows, matrix.padded_cols()};
}

PackedMatrix allocate(int64_t rows, int64_t cols, DType dtype, Device device) {
  PackedMatrix matrix = sized(rows, cols, dtype, device);
  matrix.data = Tensor::zeros(shape_of(matrix), dtype, device);
  return matrix;
}

}  // namespace

int64_t packed_bytes(int64_t rows, int64_t cols, DType dtype, Device device) {
  const int64_t scales = dtype == DType::kI8 ? rows * static_cast<int64_t>(sizeof(float)) : 0;
  return shape_of(sized(rows, cols, dtype, device)).count() * static_cast<int64_t>(size_of(dtype)) + scales;
}

PackedMatrix allocate_packed(int64_t rows, int64_t cols, DType dtype, Device device) {
  BOLIDE_CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16);
  return allocate(rows, cols, dtype, device);
}

PackedMatrix allocate_packed_int8(int64_t rows, int64_t cols, DType x_dtype, Device device) {
  BOLIDE_CHECK(x_dtype == DType::kF32 || x_dtype == DType::kF16 || x_dtype == DType::kBF16);
  PackedMatrix matrix = allocate(rows, cols, DType::kI8, device);
  matrix.scales = Tensor::zeros({rows}, DType::kF32, device);
  matrix.x_dtype = x_dtype;
  return matrix;
}

PackedMatrix packed_without_memory(int64_t rows, int64_t cols, DType dtype, DType x_dtype, Device device) {
  PackedMatrix matrix = sized(rows, cols, dtype, device);
  matrix.data = Tensor::without_memory(shape_of(matrix), dtype, device);
  if (dtype == DType::kI8) matrix.scales = Tensor::without_memory({rows}, DType::kF32, device);
  matrix.x_dtype = x_dtype;
  return matrix;
}

void quantize_rows(const Context& context, const QuantizeRowsArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.from && args.to && args.from->dtype == DType::kF32 && args.to->dtype == DType::kI8);
  BOLIDE_CHECK(args.from->rows == args.to->rows && args.from->cols == args.to->cols);
  BOLIDE_CHECK(args.from->device == context.device && args.to->device == context.device);
  if (!args.at_least.empty()) check_vector(context, "at_least", args.at_least, args.from->rows);
  if (args.from->rows == 0 || args.from->cols == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::quantize_rows(context, args);
  }
  cpu::quantize_rows(context, args);
}

void unpack(const Context& context, const PackedMatrix& matrix, const View& y) {
  check_context(context);
  BOLIDE_CHECK(matrix.device == context.device);
  check_activations(context, "y", y, matrix.rows, matrix.cols);
  if (matrix.rows == 0 || matrix.cols == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::unpack(context, matrix, y);
  }
  cpu::unpack(context, matrix, y);
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
  BOLIDE_CHECK(block.device == matrix.device && context.device == matrix.device &&
               matrix.dtype != DType::kI8);
  if (rows == 0 || cols == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda)
      return cuda::pack_block(context, block, transposed, row0, col0, matrix);
  }
  cpu::pack_block(context, block, transposed, row0, col0, matrix);
}

}  // namespace bolide
