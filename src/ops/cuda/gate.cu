#include "ops/cuda/device/activation.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/gate.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

// Grid: x = rows, y = blocks of kThreads * kCount columns. A thread has kCount neighbouring ones: a vector,
// or one.
template <class T, int kCount>
__global__ void __launch_bounds__(kThreads)
    gate_kernel(const T* x, int64_t x_stride, T* y, int64_t y_stride, int64_t inner, Activation activation) {
  wait_for_previous();
  let_next_start();
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kCount;
  if (column >= inner) return;
  const T* row = x + blockIdx.x * x_stride + column;
  alignas(16) T gates[kCount], ups[kCount];
  if constexpr (kCount > 1) {
    *reinterpret_cast<uint4*>(gates) = *reinterpret_cast<const uint4*>(row);
    *reinterpret_cast<uint4*>(ups) = *reinterpret_cast<const uint4*>(row + inner);
  } else {
    gates[0] = row[0];
    ups[0] = row[inner];
  }
  float values[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = to_f32(gates[i]);
  activate_all(activation, values);
#pragma unroll
  for (int i = 0; i < kCount; ++i) gates[i] = from_f32<T>(values[i] * to_f32(ups[i]));
  T* to = y + blockIdx.x * y_stride + column;
  if constexpr (kCount > 1) {
    *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(gates);
  } else {
    to[0] = gates[0];
  }
}

}  // namespace

void gate(const Context& context, const GateArgs& args) {
  const int64_t inner = args.y.shape[1];
  dispatch_float(args.y.dtype, [&]<class Stored>() {
    using T = device_t<Stored>;
    const auto aligned = [](const View& view) {
      const int64_t stride = view.shape[0] > 1 ? view.row_stride : 0;
      return reinterpret_cast<uintptr_t>(view.data) % 16 == 0 && stride % kVector<T> == 0;
    };
    const bool vectors = inner % kVector<T> == 0 && aligned(args.x) && aligned(args.y);
    const int64_t of_block = kThreads * (vectors ? kVector<T> : 1);
    const LaunchShape shape = {.grid = dim3(static_cast<unsigned>(args.y.shape[0]),
                                            static_cast<unsigned>((inner + of_block - 1) / of_block)),
                               .block = dim3(kThreads),
                               .division = division_for(args.y.shape[0])};
    launch(context, "gate", vectors ? gate_kernel<T, kVector<T>> : gate_kernel<T, 1>, shape,
           static_cast<const T*>(args.x.data), args.x.row_stride, static_cast<T*>(args.y.data),
           args.y.row_stride, inner, args.activation);
  });
}

}  // namespace bolide::cuda
