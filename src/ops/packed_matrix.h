#pragma once

#include "tensor/context.h"

namespace bolide {

// A weight matrix W [rows, cols] (= [out, in]) in the one layout that decode, prefill and the embedding
// lookup all read. On a GPU: rows of padded_cols() elements, the padding 0, each row 16-byte aligned, as
// cuBLASLt and own kernels take them; after the last as many rows of 0 as make whole panels. On the CPU:
//
// Panels of 16 output rows, interleaved along cols:
//   data[panel][k / g][16][g],   panel = row / 16,   g = 2 for bf16, 1 for fp32 and fp16
// so that 16 outputs at one k are one vector load, and a bf16 pair (k, k+1) fills a 32-bit lane: what
// vdpbf16ps and an AMX tile take, and what a shift and a mask turn into two floats. Rows are padded to 16,
// cols to 32 for bf16 and int8; padding is 0.
//
// An int8 matrix holds whole numbers in [-127, 127], each row times its own scale: W[r, c] = scales[r] *
// data[r, c]. Its panels are data[panel][k][16], as those of fp32.
struct PackedMatrix {
  static constexpr int64_t kPanelRows = 16;
  Tensor data;
  Tensor scales;                // [rows] fp32 of an int8 matrix; else empty
  DType dtype = DType::kF32;    // of data: fp32, fp16, bf16 or int8
  DType x_dtype = DType::kF32;  // what x meets an int8 matrix as: fp32, fp16 or bf16
  int64_t rows = 0;
  int64_t cols = 0;
  Device device = Device::kCpu;

  static int64_t group(DType dtype) { return dtype == DType::kBF16 ? 2 : 1; }
  static int64_t padded_cols(int64_t cols, DType dtype) {
    return dtype == DType::kBF16 || dtype == DType::kI8 ? (cols + 31) / 32 * 32 : cols;
  }
  int64_t panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  int64_t padded_cols() const {
    if (device == Device::kCpu) return padded_cols(cols, dtype);
    const int64_t vector = 16 / static_cast<int64_t>(size_of(dtype));
    return (cols + vector - 1) / vector * vector;
  }
  // Elements from one panel to the next, on the CPU.
  int64_t panel_stride() const { return padded_cols() * kPanelRows; }
  // Element (row, col)'s place in data.
  int64_t offset(int64_t row, int64_t col) const {
    if (device != Device::kCpu) return row * padded_cols() + col;
    const int64_t g = group(dtype);
    return row / kPanelRows * panel_stride() + col / g * kPanelRows * g + row % kPanelRows * g + col % g;
  }
};

// Memory of such a matrix, an int8 one's scales too.
int64_t packed_bytes(int64_t rows, int64_t cols, DType dtype, Device device);
// Zero-filled.
PackedMatrix allocate_packed(int64_t rows, int64_t cols, DType dtype, Device device = Device::kCpu);
// Zero-filled int8.
PackedMatrix allocate_packed_int8(int64_t rows, int64_t cols, DType x_dtype, Device device = Device::kCpu);
// As allocate_packed() or, of int8, allocate_packed_int8() would make it, but for its memory: for counting
// runs (Context::counting()).
PackedMatrix packed_without_memory(int64_t rows, int64_t cols, DType dtype, DType x_dtype, Device device);

// Puts a block of W into `matrix`: W[row0 : row0 + n, col0 : col0 + k] = block, where block is [n, k], or [k,
// n] when `transposed`, with strided rows, in the memory of the matrix's device. The block's dtype (fp32,
// fp16, bf16, fp64) is converted to the matrix's, which is no int8.
void pack_block(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
                PackedMatrix& matrix);

struct QuantizeRowsArgs {
  const PackedMatrix* from = nullptr;  // fp32
  // [rows] fp32: a row's largest magnitude is at least this (where other ranks hold more of the row); or
  // empty
  View at_least = {};
  PackedMatrix* to = nullptr;  // int8, of the same size
};
// Symmetric, one scale a row: scale = largest magnitude / 127, data = W / scale to the nearest, ties to even.
// A row of zeros has the scale 0.
void quantize_rows(const Context& context, const QuantizeRowsArgs& args);

// y [rows, cols] fp32 or context.activation = W as numbers; rows of y may be strided.
void unpack(const Context& context, const PackedMatrix& matrix, const View& y);

namespace cpu {
void quantize_rows(const Context& context, const QuantizeRowsArgs& args);
void unpack(const Context& context, const PackedMatrix& matrix, const View& y);
void pack_block(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
                PackedMatrix& matrix);
}  // namespace cpu
namespace cuda {
void quantize_rows(const Context& context, const QuantizeRowsArgs& args);
void unpack(const Context& context, const PackedMatrix& matrix, const View& y);
void pack_block(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
                PackedMatrix& matrix);
}  // namespace cuda

}  // namespace bolide
