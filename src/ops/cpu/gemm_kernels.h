#pragma once

#include "ops/cpu/gemm_bf16.h"
#include "ops/matmul.h"

namespace bolide::cpu {

// The tiles that keep x in fp32, for weights of `dtype` on the current instruction set.
const TileKernels& tile_kernels(DType dtype);

// One group of rows as the fp32 tiles take it: out[k][group] = x[row][k], columns from `columns` to `padded`
// 0; missing rows repeat another one.
void pack_rows(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t padded, int group,
               float* out);
// Columns [col0, col0 + count) of a row as fp32. col0 is even.
void unpack_row(const PackedMatrix& matrix, int64_t row, int64_t col0, int64_t count, float* out);
// Sixteen rows of fp32 into a panel: out[k][16] = rows[r * stride + k].
void interleave_panel(const float* rows, int64_t stride, int64_t count, float* out);
// y = activation(y + bias) on a block in place; `bias` may be null.
void epilogue(float* y, int64_t stride, int64_t rows, int64_t columns, const float* bias,
              Activation activation);

}  // namespace bolide::cpu
