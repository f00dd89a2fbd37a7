#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "tensor/tensor.h"

// How large things may be that files, flags and free memory decide. Whatever meets a kernel is held against
// these first, where its user can be told.
namespace bolide {

// A head is kept in registers by a GPU, and on the stack by a CPU.
inline constexpr int64_t kMaxHeadSize = 256;

// Draws on a GPU add up weights of up to 2^42 units, which so many of leave 64 bits enough.
inline constexpr int64_t kMaxGpuVocab = int64_t{1} << 20;
// A grid has 65,535 blocks in y: one for each row of a decode step, or for 8 rows of an fp32 product. With
// both of these and padding, which is a sixteenth, a step has 348,160 rows: 43,520 blocks.
inline constexpr int64_t kMaxGpuSequences = 65535;
inline constexpr int64_t kMaxGpuChunk = int64_t{1} << 18;

// A text: positions are 32-bit, and kernels count a little past its end.
inline constexpr int64_t kMaxSequenceTokens = int64_t{1} << 30;

// The pages of a cache. Page numbers are 32-bit everywhere; and a GPU counts rows of keys, of which each
// token has one for each of `kv_heads`, with 32 bits, and tokens with 31. One page is left for padding.
constexpr int64_t most_pages(Device device, int64_t kv_heads, int64_t page_size) {
  constexpr int64_t kMax31 = std::numeric_limits<int32_t>::max(),
                    kMax32 = std::numeric_limits<uint32_t>::max();
  if (device == Device::kCpu) return kMax31 - 1;
  return std::min(kMax32 / std::max<int64_t>(kv_heads, 1), kMax31) / page_size - 1;
}

}  // namespace bolide
