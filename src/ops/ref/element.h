#pragma once

#include <vector>

#include "ops/packed_matrix.h"

namespace bolide::ref {

// Element i of typed memory.
inline double element(const void* data, DType dtype, int64_t i) {
  return dispatch_float(
      dtype, [&]<class T>() { return static_cast<double>(to_float(static_cast<const T*>(data)[i])); });
}
inline double element(const View& view, int64_t row, int64_t column) {
  return element(view.data, view.dtype, row * view.row_stride + column);
}
inline double element(const PackedMatrix& matrix, int64_t row, int64_t column) {
  if (matrix.dtype == DType::kI8)
    return static_cast<double>(matrix.data.as<int8_t>()[matrix.offset(row, column)]) *
           matrix.scales.as<float>()[row];
  return element(matrix.data.view().data, matrix.dtype, matrix.offset(row, column));
}
// All of a matrix, row by row without padding; a row of a packed one.
inline std::vector<double> elements(const View& view) {
  std::vector<double> all;
  for (int64_t r = 0; r < view.shape[0]; ++r)
    for (int64_t c = 0; c < view.shape[1]; ++c) all.push_back(element(view, r, c));
  return all;
}
inline std::vector<double> row_of(const PackedMatrix& matrix, int64_t row) {
  std::vector<double> all;
  for (int64_t k = 0; k < matrix.cols; ++k) all.push_back(element(matrix, row, k));
  return all;
}
// Eight sums side by side: one alone waits for each addition before the next, and takes five times as long.
inline double dot(const double* a, const double* b, size_t count) {
  double lanes[8] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (size_t lane = 0; lane < 8; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  for (; i < count; ++i) lanes[0] += a[i] * b[i];
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace bolide::ref
