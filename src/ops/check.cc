#include "ops/check.h"

namespace bolide {

bool overlap(const View& a, const View& b) {
  if (a.shape.count() == 0 || b.shape.count() == 0) return false;
  const auto range = [](const View& v) {
    const auto begin = reinterpret_cast<uintptr_t>(v.data);
    const int64_t columns = v.shape.count() / v.shape[0];
    const int64_t elements = (v.shape[0] - 1) * v.row_stride + columns;
    return std::pair(begin, begin + static_cast<size_t>(elements) * size_of(v.dtype));
  };
  const auto [a_begin, a_end] = range(a);
  const auto [b_begin, b_end] = range(b);
  if (a_end <= b_begin || b_end <= a_begin) return false;
  if (a.row_stride != b.row_stride || a.dtype != b.dtype || a.shape[0] <= 1 || b.shape[0] <= 1) return true;
  // Column blocks of one matrix: their rows interleave in memory without meeting.
  const size_t stride = static_cast<size_t>(a.row_stride) * size_of(a.dtype);
  const size_t a_bytes = static_cast<size_t>(a.shape.count() / a.shape[0]) * size_of(a.dtype);
  const size_t b_bytes = static_cast<size_t>(b.shape.count() / b.shape[0]) * size_of(b.dtype);
  const size_t distance =
      b_begin >= a_begin ? (b_begin - a_begin) % stride : (stride - (a_begin - b_begin) % stride) % stride;
  return distance < a_bytes || distance + b_bytes > stride;
}

}  // namespace bolide
