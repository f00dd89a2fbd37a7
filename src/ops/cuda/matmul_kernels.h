#pragma once

#include <algorithm>

#include "ops/matmul.h"

// The ways in which cuda::matmul() computes: it chooses by the number of rows.
namespace bolide::cuda {

// Rows up to which skinny_matmul() is made to be fast: it is bound by the stream of weights.
inline constexpr int64_t kSkinnyRows = 64;

// What x meets W as.
inline DType x_dtype(const PackedMatrix& w) { return w.dtype == DType::kI8 ? w.x_dtype : w.dtype; }

// What a way has done: kArgmax, instead of the product, when that was wanted and the way finds it by itself.
enum class Done : uint8_t { kNothing, kProduct, kArgmax };

// Up to 8 rows in the shapes of a decode step; false when it does not take the case, and nothing is done. The
// shortest from the end of the previous kernel to its own, but its sums have an order of their own.
bool few_rows_matmul(const Context& context, const MatmulArgs& args);

// 9 to 192 rows, 5 to 64 of a head, or 5 to 128 of int8 weights, by Hopper's warpgroup products, after a norm
// kernel where there is a norm; kNothing when it does not take the case. It finds a head's
// MatmulArgs::argmax. (skinny_matmul(), which takes up to 4 rows, does not: on an H200 that cost 6 us more
// with bloom-560m's head and one row.) A row is the same bits whatever the others are and wherever it stands,
// but not for every number of them.
Done some_rows_matmul(const Context& context, const MatmulArgs& args);

// Own kernels, which read each weight once for up to kSkinnyRows rows of x (more rows: once for every
// kSkinnyRows). Any shape and dtype. The result of a row is the same, bit for bit, for every number of rows.
void skinny_matmul(const Context& context, const MatmulArgs& args);
// Whether it takes gated products by this matrix, whatever x.
bool skinny_gates(const PackedMatrix& w);

// Whether cuBLASLt serves this many rows better. With few the stream of weights is the floor, and own kernels
// run closer to it: on an H200 they meet at about 20 rows with bloom-560m's matrices, at 5 with bloom-7b1's.
inline bool cublaslt_wins(const PackedMatrix& w, int64_t rows) {
  if (w.dtype == DType::kF32 || w.dtype == DType::kI8) return rows > kSkinnyRows;
  return rows > (w.data.bytes() <= size_t{16} << 20 ? 20 : 4);
}

// The largest power of two, up to 16, that divides the addresses of all rows.
inline uint32_t row_alignment(const View& view) {
  const uintptr_t step =
      view.shape[0] > 1 ? static_cast<uintptr_t>(view.row_stride) * size_of(view.dtype) : 0;
  const uintptr_t bits = reinterpret_cast<uintptr_t>(view.data) | step | 16;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// How many rows of W one product of cuBLASLt takes: all, or of int8 weights what is widened at a time, in
// equal shares, since each size has an algorithm of its own.
inline int64_t share_of_rows(const PackedMatrix& w) {
  if (w.dtype != DType::kI8) return w.rows;
  const int64_t row = w.padded_cols() * static_cast<int64_t>(size_of(w.x_dtype));
  // Of the library's kernels; of rows so long that 256 do not fit, 8.
  const int64_t tile = 256 * row <= kWidenedBytes ? 256 : 8;
  const int64_t fit = std::max(kWidenedBytes / row / tile * tile, tile), shares = (w.rows + fit - 1) / fit;
  const int64_t even = (w.rows + shares - 1) / shares;
  return std::min((even + tile - 1) / tile * tile, w.rows);
}

// Whether it wants x in memory of its own.
inline bool cublaslt_copies(const MatmulArgs& args) {
  return !args.norm.weight.empty() || args.x.dtype != x_dtype(*args.w) || row_alignment(args.x) < 16;
}

// cuBLASLt, with bias, GELU (tanh) and accumulation in its epilogue; a norm before it and other activations
// after it are kernels of their own. For many rows. Int8 weights are widened first, kWidenedBytes at a time.
void cublaslt_matmul(const Context& context, const MatmulArgs& args);

// to = rows of int8 weights from row `first` on, as numbers of its type; `to` is [rows, w.padded_cols()],
// contiguous, 16-byte aligned.
void widen_rows(const Context& context, const PackedMatrix& w, int64_t first, const View& to);

}  // namespace bolide::cuda
