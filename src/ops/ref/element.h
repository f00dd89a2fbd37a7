#pragma once

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
  return element(matrix.data.view().data, matrix.dtype, matrix.offset(row, column));
}

}  // namespace bolide::ref
