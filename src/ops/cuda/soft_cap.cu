#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/launch.h"
#include "ops/soft_cap.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256, kCount = 4;  // columns of a thread, kThreads apart

// Grid: x = rows, y = blocks of kThreads * kCount columns.
__global__ void __launch_bounds__(kThreads)
    soft_cap_kernel(float* x, int64_t stride, int64_t columns, float cap) {
  wait_for_previous();
  let_next_start();
  float* row = x + blockIdx.x * stride;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kThreads * kCount + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int64_t at = first + i * kThreads;
    if (at >= columns) return;
    if (isfinite(row[at])) row[at] = __fmul_rn(cap, tanhf(__fdiv_rn(row[at], cap)));
  }
}

}  // namespace

void soft_cap(const Context& context, const SoftCapArgs& args) {
  const int64_t columns = args.x.shape[1], of_block = kThreads * kCount;
  launch(context, "soft_cap", soft_cap_kernel,
         {.grid = dim3(static_cast<unsigned>(args.x.shape[0]),
                       static_cast<unsigned>((columns + of_block - 1) / of_block)),
          .block = dim3(kThreads),
          .division = division_for(args.x.shape[0])},
         args.x.as<float>(), args.x.row_stride, columns, args.cap);
}

}  // namespace bolide::cuda
