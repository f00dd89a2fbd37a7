#include <algorithm>

#include "comm/gpu_pattern.h"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"

namespace bolide::test {
namespace {

using namespace cuda;  // NOLINT: kernels of a test

constexpr int kThreads = 256;

__device__ uint32_t hash(uint32_t seed, int rank, uint32_t i) {
  uint32_t h = seed * 0x9e3779b1u + static_cast<uint32_t>(rank) * 0x85ebca77u + i * 0xc2b2ae3du;
  h ^= h >> 15;
  h *= 0x2c1b3c6du;
  h ^= h >> 12;
  h *= 0x297a2d39u;
  return h ^ h >> 15;
}

// -15 to 15, a third of them zero.
__device__ float pattern(uint32_t seed, int rank, uint32_t i) {
  const uint32_t h = hash(seed, rank, i);
  if (h % 6 == 0) return -0.0f;
  if (h % 6 == 1) return 0.0f;
  return static_cast<float>(static_cast<int>(h / 6 % 31) - 15);
}

template <class T>
__global__ void fill(T* x, uint32_t count, uint32_t seed, int rank) {
  wait_for_previous();
  let_next_start();
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads)
    x[i] = from_f32<T>(pattern(seed, rank, i));
}

template <class T>
__global__ void compare(const T* x, uint32_t count, uint32_t seed, int ranks, int factor,
                        uint32_t* mismatches) {
  wait_for_previous();
  let_next_start();
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads) {
    float sum = 0;
    for (int rank = 0; rank < ranks; ++rank) sum += pattern(seed, rank, i);
    if (!(to_f32(x[i]) == static_cast<float>(factor) * sum)) atomicAdd(mismatches, 1u);
  }
}

__device__ uint8_t byte_pattern(uint32_t seed, int rank, uint32_t i) {
  const uint32_t h = hash(seed, rank, i / 4);
  return static_cast<uint8_t>((h % 4 == 0 ? 0x80000000u : h) >> 8 * (i % 4));
}

__global__ void fill_with_bytes(uint8_t* x, uint32_t count, uint32_t seed, int rank) {
  wait_for_previous();
  let_next_start();
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads)
    x[i] = byte_pattern(seed, rank, i);
}

__global__ void compare_bytes(const uint8_t* y, uint32_t count, uint32_t seed, int ranks,
                              uint32_t* mismatches) {
  wait_for_previous();
  let_next_start();
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads)
    for (int rank = 0; rank < ranks; ++rank)
      if (y[static_cast<size_t>(rank) * count + i] != byte_pattern(seed, rank, i)) atomicAdd(mismatches, 1u);
}

__global__ void wait_a_while(uint64_t nanoseconds) {
  wait_for_previous();
  let_next_start();
  uint64_t begin, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - begin < nanoseconds);
}

LaunchShape shape_for(int64_t count) {
  return {.grid = dim3(static_cast<unsigned>(std::clamp<int64_t>((count + kThreads - 1) / kThreads, 1, 128))),
          .block = dim3(kThreads)};
}

template <class Kernel>
void load(Kernel* kernel) {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)), "cudaFuncGetAttributes");
}

}  // namespace

void fill_pattern(const Context& context, const View& x, uint32_t seed, int rank) {
  dispatch_float(x.dtype, [&]<class S>() {
    using T = device_t<S>;
    launch(context, "fill", fill<T>, shape_for(x.shape.count()), static_cast<T*>(x.data),
           static_cast<uint32_t>(x.shape.count()), seed, rank);
  });
}

void count_mismatches(const Context& context, const View& x, uint32_t seed, int ranks, int factor,
                      uint32_t* mismatches) {
  dispatch_float(x.dtype, [&]<class S>() {
    using T = device_t<S>;
    launch(context, "compare", compare<T>, shape_for(x.shape.count()), static_cast<const T*>(x.data),
           static_cast<uint32_t>(x.shape.count()), seed, ranks, factor, mismatches);
  });
}

void fill_bytes(const Context& context, const View& x, uint32_t seed, int rank) {
  launch(context, "fill bytes", fill_with_bytes, shape_for(x.shape.count()), x.as<uint8_t>(),
         static_cast<uint32_t>(x.shape.count()), seed, rank);
}

void count_wrong_bytes(const Context& context, const View& y, uint32_t seed, int ranks,
                       uint32_t* mismatches) {
  const int64_t count = y.shape.count() / ranks;
  launch(context, "compare bytes", compare_bytes, shape_for(count), y.as<uint8_t>(),
         static_cast<uint32_t>(count), seed, ranks, mismatches);
}

void busy(const Context& context, int microseconds) {
  launch(context, "busy", wait_a_while, {.grid = dim3(1), .block = dim3(32)},
         static_cast<uint64_t>(microseconds) * 1000);
}

void load_pattern_kernels() {
  load(wait_a_while);
  load(fill_with_bytes);
  load(compare_bytes);
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    dispatch_float(dtype, [&]<class S>() {
      load(fill<device_t<S>>);
      load(compare<device_t<S>>);
    });
  }
}

}  // namespace bolide::test
