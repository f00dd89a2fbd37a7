#include "ops/cuda/device/activation.cuh"
#include "ops/cuda/device/any_dtype.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"
#include "ops/cuda/skinny_kernels.h"

// y = activation(x W^T + bias) by fp32 fused multiply-adds. A block takes 8 outputs (4 for more than one row
// of x), its 256 threads 4 columns each at a time. The order of a dot product's sum is that of W's columns
// alone, so a row's result is the same bits for every number of rows.
namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

struct Four {
  float v[4];
};

__device__ __forceinline__ Four load_four(const float* p) {
  const float4 v = *reinterpret_cast<const float4*>(p);
  return {{v.x, v.y, v.z, v.w}};
}
__device__ __forceinline__ Four load_four(const int8_t* p) {
  const char4 v = *reinterpret_cast<const char4*>(p);
  return {
      {static_cast<float>(v.x), static_cast<float>(v.y), static_cast<float>(v.z), static_cast<float>(v.w)}};
}
template <class T>
__device__ __forceinline__ Four load_four(const T* p) {
  const uint2 bits = *reinterpret_cast<const uint2*>(p);
  constexpr DType kType = std::is_same_v<T, __half> ? DType::kF16 : DType::kBF16;
  return {{bits_to_f32(bits.x & 0xffff, kType), bits_to_f32(bits.x >> 16, kType),
           bits_to_f32(bits.y & 0xffff, kType), bits_to_f32(bits.y >> 16, kType)}};
}

// Columns column .. column + 3 of a row of x as W's type takes them; 0 from `in` on.
template <class T>
__device__ __forceinline__ Four load_x(const SkinnyArgs& a, int64_t row, int column) {
  const int64_t at = row * a.x_stride + column;
  Four x;
  if (a.x_vector && column + 4 <= a.in) {
    if (a.x_dtype == DType::kF32) {
      x = load_four(static_cast<const float*>(a.x) + at);
    } else if (a.x_dtype == DType::kF16) {
      x = load_four(static_cast<const __half*>(a.x) + at);
    } else {
      x = load_four(static_cast<const __nv_bfloat16*>(a.x) + at);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) x.v[i] = column + i < a.in ? load_f32(a.x, a.x_dtype, at + i) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) x.v[i] = to_f32(from_f32<T>(x.v[i]));
  return x;
}

// Sums each of v[0 .. kCount), kCount at most 32, over a warp's lanes; lane l gets number l / (32 / kCount)
// in v[0]. Each is summed along the same tree whatever kCount.
template <int kCount>
__device__ __forceinline__ void sum_lanes(float (&v)[kCount]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int count = kCount;
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    if (count == 1) {
      v[0] += __shfl_xor_sync(0xffffffffu, v[0], offset);
      continue;
    }
    count /= 2;
    const bool upper = lane & offset;
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      if (i >= count) break;
      const float sent = upper ? v[i] : v[i + count], kept = upper ? v[i + count] : v[i];
      v[i] = kept + __shfl_xor_sync(0xffffffffu, sent, offset);
    }
  }
}

template <class T, class W, int kRows>
__global__ void __launch_bounds__(kThreads, 2) fma_kernel(const __grid_constant__ SkinnyArgs a) {
  constexpr int kOutputs = kRows == 1 ? 8 : 4, kSums = kRows * kOutputs, kWarps = kThreads / 32;
  __shared__ float partial[kWarps][kSums];
  const int first_output = static_cast<int>(blockIdx.x) * kOutputs;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const auto load_w = [&](int column, Four(&w)[kOutputs]) {
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      const int64_t row = min(first_output + o, a.out - 1);
      if (column < a.padded) w[o] = load_four(static_cast<const W*>(a.w) + row * a.padded + column);
    }
  };
  int column = static_cast<int>(threadIdx.x) * 4;
  Four w[kOutputs] = {};
  load_w(column, w);
  wait_for_previous();
  let_next_start();
  float sums[kSums] = {};
  for (; column < a.padded; column += kThreads * 4) {
    Four next[kOutputs] = {};
    load_w(column + kThreads * 4, next);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const Four x = load_x<T>(a, min(first_row + r, static_cast<int64_t>(a.tokens - 1)), column);
#pragma unroll
      for (int o = 0; o < kOutputs; ++o)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[r * kOutputs + o] = fmaf(w[o].v[i], x.v[i], sums[r * kOutputs + o]);
    }
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) w[o] = next[o];
  }
  sum_lanes(sums);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  constexpr int kLanes = 32 / kSums;  // that hold one sum
  if (lane % kLanes == 0) partial[thread / 32][lane / kLanes] = sums[0];
  __syncthreads();
  const int64_t row = first_row + thread / kOutputs;
  const int output = first_output + thread % kOutputs;
  if (thread >= kSums || row >= a.tokens || output >= a.out) return;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += partial[i][thread];
  if constexpr (std::is_same_v<W, int8_t>) sum *= a.scales[output];
  if (a.bias) sum += load_f32(a.bias, a.y_dtype, output);
  sum = activate(a.activation, sum);
  const int64_t at = row * a.y_stride + output;
  if (a.accumulate) sum += static_cast<const float*>(a.y)[at];
  store_f32(a.y, a.y_dtype, at, sum);
}

template <class T, class W>
void launch_fma(const Context& context, const SkinnyArgs& a) {
  const auto blocks = [](int64_t count, int64_t each) {
    return static_cast<unsigned>((count + each - 1) / each);
  };
  if (a.tokens == 1)
    return launch(context, "fma_matmul", fma_kernel<T, W, 1>,
                  {.grid = dim3(blocks(a.out, 8)), .block = dim3(kThreads)}, a);
  launch(context, "fma_matmul", fma_kernel<T, W, 8>,
         {.grid = dim3(blocks(a.out, 4), blocks(a.tokens, 8)), .block = dim3(kThreads)}, a);
}

}  // namespace

void fma_matmul(const Context& context, const MatmulArgs& args) {
  const SkinnyArgs a = skinny_args(args);
  dispatch_float(x_dtype(*args.w), [&]<class T>() {
    using D = device_t<T>;
    args.w->dtype == DType::kI8 ? launch_fma<D, int8_t>(context, a) : launch_fma<D, D>(context, a);
  });
}

}  // namespace bolide::cuda
