#include "ops/cuda/argmax_kernels.h"
#include "ops/cuda/device/argmax.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/launch.h"
#include "ops/sample.h"

namespace bolide::cuda {
namespace {

constexpr int kPickThreads = 256;

struct Task {
  ArgmaxParts parts;
  int32_t begin;
  float* values;
  int64_t values_stride;
  int32_t* ids;
  int64_t ids_stride;
};

// A block a row.
__global__ void __launch_bounds__(kPickThreads) pick(Task task) {
  __shared__ uint64_t warps[kPickThreads / 32];
  const int thread = static_cast<int>(threadIdx.x), count = task.parts.count, pairs = (count + 1) / 2;
  const int64_t row = blockIdx.x;
  const auto* from = reinterpret_cast<const ulonglong2*>(task.parts.data + row * task.parts.stride);
  wait_for_previous();
  let_next_start();
  uint64_t argmax = kNoArgmax;
  constexpr int kLoads = 4;  // of a thread on their way: enough for BLOOM's 1960 parts at once
  for (int first = thread; first < pairs; first += kLoads * kPickThreads) {
    ulonglong2 v[kLoads];
#pragma unroll
    for (int u = 0; u < kLoads; ++u) {
      const int at = first + u * kPickThreads;
      v[u] = at < pairs ? from[at] : ulonglong2{kNoArgmax, kNoArgmax};
      if (2 * at + 1 >= count) v[u].y = kNoArgmax;
    }
#pragma unroll
    for (const ulonglong2& pair : v) argmax = max(argmax, max(uint64_t{pair.x}, uint64_t{pair.y}));
  }
  argmax = argmax_of_lanes(argmax, 32);
  if (thread % 32 == 0) warps[thread / 32] = argmax;
  __syncthreads();
  if (thread >= 32) return;
  argmax = argmax_of_lanes(thread < kPickThreads / 32 ? warps[thread] : kNoArgmax, 32);
  if (thread != 0) return;
  const Top top = top_of(argmax);
  task.values[row * task.values_stride] = top.max;
  task.ids[row * task.ids_stride] = top.finite ? task.begin + top.column : kNoId;
}

}  // namespace

ArgmaxParts take_argmax_parts(const Context& context, int64_t rows, int count) {
  const int stride = (count + 1) / 2 * 2;  // rows are read in pairs
  const View memory = context.arena->take({rows * stride}, DType::kI64);
  return {reinterpret_cast<uint64_t*>(memory.as<int64_t>()), count, stride};
}

void pick_argmax(const Context& context, const ArgmaxParts& parts, const Argmax& argmax) {
  const Task task = {.parts = parts,
                     .begin = static_cast<int32_t>(argmax.begin),
                     .values = argmax.values.as<float>(),
                     .values_stride = argmax.values.row_stride,
                     .ids = argmax.ids.as<int32_t>(),
                     .ids_stride = argmax.ids.row_stride};
  launch(context, "pick_argmax", pick,
         {.grid = dim3(static_cast<unsigned>(argmax.ids.shape[0])), .block = dim3(kPickThreads)}, task);
}

}  // namespace bolide::cuda
