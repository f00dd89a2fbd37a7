#include "checkpoint/tensor_source.h"

namespace bolide {

Slice Slice::all(const Shape& shape) {
  Slice slice;
  for (int i = 0; i < shape.rank(); ++i) slice.end[i] = shape[i];
  return slice;
}

Slice Slice::along(const Shape& shape, int axis, int64_t begin, int64_t end) {
  Slice slice = all(shape);
  slice.begin[axis] = begin;
  slice.end[axis] = end;
  return slice;
}

Shape Slice::shape(int rank) const {
  Shape shape(std::span<const int64_t>(end.data(), static_cast<size_t>(rank)));
  for (int i = 0; i < rank; ++i) shape[i] -= begin[i];
  return shape;
}

}  // namespace bolide
