#include "ops/concat_columns.h"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/launch.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256, kEach = 4;  // elements of a thread

// Of either type: elements are words. A block has kThreads * kEach of one row of y, in turn by thread.
__global__ void __launch_bounds__(kThreads)
    place_parts(const uint32_t* x, int64_t x_stride, int64_t columns, int64_t part_stride, uint32_t* y,
                int64_t y_stride, int64_t total) {
  wait_for_previous();
  let_next_start();
  x += blockIdx.x * x_stride;
  y += blockIdx.x * y_stride;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kThreads * kEach + threadIdx.x;
  // No row of logits has 2^32 columns, and a 64-bit division takes far longer than the copy.
  const auto of_part = static_cast<uint32_t>(columns);
  uint32_t words[kEach] = {};
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int64_t at = first + i * kThreads;
    if (at >= total) break;
    const uint32_t part = static_cast<uint32_t>(at) / of_part;
    words[i] = x[part * part_stride + (at - static_cast<int64_t>(part) * columns)];
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int64_t at = first + i * kThreads;
    if (at < total) y[at] = words[i];
  }
}

}  // namespace

void concat_columns(const Context& context, const ConcatColumnsArgs& args) {
  const int64_t total = args.y.shape[1];
  constexpr int64_t kOfBlock = kThreads * kEach;
  BOLIDE_CHECK(total <= int64_t{65535} * kOfBlock, "{} columns", total);
  launch(context, "concat_columns", place_parts,
         {.grid = dim3(static_cast<unsigned>(args.y.shape[0]),
                       static_cast<unsigned>((total + kOfBlock - 1) / kOfBlock)),
          .block = dim3(kThreads)},
         static_cast<const uint32_t*>(args.x.data), args.x.row_stride, args.x.shape[1], args.part_stride,
         static_cast<uint32_t*>(args.y.data), args.y.row_stride, total);
}

}  // namespace bolide::cuda
