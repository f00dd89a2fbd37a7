#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/file.h"
#include "checkpoint/tensor_source.h"

namespace bolide {

// Byte strides of a tensor, outermost axis first.
using ByteStrides = std::array<int64_t, Shape::kMaxRank>;
// The strides of C order.
ByteStrides c_order(const Shape& shape, size_t element_bytes);

// A box of elements to copy out of a mapped file.
struct BoxCopy {
  const MappedFile& file;
  size_t offset;            // of the box's first element in the file
  Shape extents;            // of the box
  ByteStrides src_strides;  // never negative
  std::byte* into;
  ByteStrides into_strides;
  size_t element_bytes;  // 1, 2, 4 or 8
};

// Copies in the longest runs that both sides allow: a whole tensor is one memcpy, a slice of columns one
// memcpy a row. Pages of large boxes are given back while the copy goes on, so that reading a checkpoint
// never doubles memory.
void copy_box(const BoxCopy& box);

}  // namespace bolide
