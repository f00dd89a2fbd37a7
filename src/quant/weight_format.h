#pragma once

#include <string_view>

#include "ops/matmul.h"

namespace bolide {

struct WeightFormat;

// A linear layer's matrix in whatever scheme it is stored. Layers hold one and never look inside.
struct Weight {
  const WeightFormat* format = nullptr;
  PackedMatrix matrix;
  int64_t rows() const { return matrix.rows; }
  int64_t cols() const { return matrix.cols; }
};

// One scheme of storing weights. A further scheme is a folder beside dense/ and a row in weight_format.cc.
struct WeightFormat {
  std::string_view name;
  // Zero-filled [rows, cols].
  Weight (*allocate)(int64_t rows, int64_t cols, DType dtype, Device device);
  // W[row0 : row0 + n, col0 : col0 + k] = block ([n, k], or [k, n] when transposed, on the weight's device).
  // Blocks that do not overlap may be stored from several threads at once.
  void (*store)(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
                Weight& weight);
  // As ops/matmul.h; the format fills in args.w.
  void (*matmul)(const Context& context, const Weight& weight, MatmulArgs args);
  // Bytes in memory.
  int64_t (*bytes)(const Weight& weight);
};

extern const WeightFormat kDenseFormat;

}  // namespace bolide
