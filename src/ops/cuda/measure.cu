#include <memory>

#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/measure.h"
#include "tensor/device.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ float noise(uint64_t i) {
  uint64_t x = i * 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x ^= x >> 27;
  return static_cast<float>(static_cast<int32_t>(x)) * 0x1.0p-31f;
}

template <class T>
__global__ void noise_kernel(T* values, int64_t count) {
  wait_for_previous();
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step)
    values[i] = from_f32<T>(noise(static_cast<uint64_t>(i)));
}

// The bits of floats that are not negative are in the floats' order, and those of NaNs above all others.
template <class T>
__global__ void difference_kernel(const T* a, const T* b, int64_t count, uint32_t* largest) {
  wait_for_previous();
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  uint32_t apart = 0, size = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const float x = to_f32(a[i]), y = to_f32(b[i]);
    apart = max(apart, __float_as_uint(fabsf(x - y)));
    size = max(size, __float_as_uint(fabsf(x)));
  }
  atomicMax(largest, apart);
  atomicMax(largest + 1, size);
}

LaunchShape whole_gpu() {
  return {.grid = dim3(static_cast<unsigned>(8 * multiprocessors())), .block = dim3(kThreads)};
}

}  // namespace

void fill_noise(const Context& context, const View& values) {
  dispatch_float(values.dtype, [&]<class T>() {
    launch(context, "noise", noise_kernel<device_t<T>>, whole_gpu(), static_cast<device_t<T>*>(values.data),
           values.shape.count());
  });
}

double seconds_of(const Context& context, const std::function<void()>& work) {
  const auto create = [] {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "cudaEventCreate");
    return std::shared_ptr<CUevent_st>(event, [](cudaEvent_t e) { cudaEventDestroy(e); });
  };
  const auto begin = create(), end = create();
  check(cudaEventRecord(begin.get(), stream_of(context)), "cudaEventRecord");
  work();
  check(cudaEventRecord(end.get(), stream_of(context)), "cudaEventRecord");
  check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

double relative_difference(const Context& context, const View& a, const View& b) {
  const Tensor largest = Tensor::allocate({2}, DType::kF32, Device::kCuda);
  fill_zero(context, largest.view().data, largest.bytes());
  dispatch_float(a.dtype, [&]<class T>() {
    using D = device_t<T>;
    launch(context, "difference", difference_kernel<D>, whole_gpu(), static_cast<const D*>(a.data),
           static_cast<const D*>(b.data), a.shape.count(), static_cast<uint32_t*>(largest.view().data));
  });
  float found[2] = {};
  copy_to_host(context, found, largest.view().data, sizeof(found));
  synchronize(context);
  const double ratio = static_cast<double>(found[0]) / static_cast<double>(found[1]);
  return ratio >= 0 && found[1] <= std::numeric_limits<float>::max()
             ? ratio
             : std::numeric_limits<double>::infinity();
}

}  // namespace bolide::cuda
