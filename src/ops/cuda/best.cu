#include "ops/cuda/best_kernels.h"
#include "ops/cuda/device/best.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/launch.h"
#include "ops/sample.h"

namespace bolide::cuda {
namespace {

constexpr int kPickThreads = 256;

struct Task {
  BestParts parts;
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
  uint64_t best = kNoBest;
  constexpr int kLoads = 4;  // of a thread on their way: enough for BLOOM's 1960 parts at once
  for (int first = thread; first < pairs; first += kLoads * kPickThreads) {
    ulonglong2 v[kLoads];
#pragma unroll
    for (int u = 0; u < kLoads; ++u) {
      const int at = first + u * kPickThreads;
      v[u] = at < pairs ? from[at] : ulonglong2{kNoBest, kNoBest};
      if (2 * at + 1 >= count) v[u].y = kNoBest;
    }
#pragma unroll
    for (const ulonglong2& pair : v) best = max(best, max(uint64_t{pair.x}, uint64_t{pair.y}));
  }
  best = best_of_lanes(best, 32);
  if (thread % 32 == 0) warps[thread / 32] = best;
  __syncthreads();
  if (thread >= 32) return;
  best = best_of_lanes(thread < kPickThreads / 32 ? warps[thread] : kNoBest, 32);
  if (thread != 0) return;
  const Top top = top_of(best);
  task.values[row * task.values_stride] = top.max;
  task.ids[row * task.ids_stride] = top.finite ? task.begin + top.column : kNoId;
}

}  // namespace

BestParts take_best_parts(const Context& context, int64_t rows, int count) {
  const int stride = (count + 1) / 2 * 2;  // rows are read in pairs
  const View memory = context.arena->take({rows * stride}, DType::kI64);
  return {reinterpret_cast<uint64_t*>(memory.as<int64_t>()), count, stride};
}

void pick_best(const Context& context, const BestParts& parts, const Best& best) {
  const Task task = {.parts = parts,
                     .begin = static_cast<int32_t>(best.begin),
                     .values = best.values.as<float>(),
                     .values_stride = best.values.row_stride,
                     .ids = best.ids.as<int32_t>(),
                     .ids_stride = best.ids.row_stride};
  launch(context, "pick_best", pick,
         {.grid = dim3(static_cast<unsigned>(best.ids.shape[0])), .block = dim3(kPickThreads)}, task);
}

}  // namespace bolide::cuda
