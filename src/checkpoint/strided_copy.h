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

// A box of elements to copy out of a file.
struct BoxCopy {
  const InputFile& file;
  size_t offset;            // of the box's first element in the file
  Shape extents;            // of the box
  ByteStrides src_strides;  // never negative
  std::byte* into;
  ByteStrides into_strides;
  size_t element_bytes;  // 1, 2, 4 or 8
};

// Reads in the longest runs that both sides allow: a whole tensor is one read, a slice of wide columns one
// read a row. What lies close together in the file, but not so in memory, goes through a buffer of 1 MiB at
// most. Files are read and not mapped: one that is truncated meanwhile gives an Error instead of SIGBUS, and
// its pages never count as this process's memory.
void strided_copy(const BoxCopy& box);

}  // namespace bolide
