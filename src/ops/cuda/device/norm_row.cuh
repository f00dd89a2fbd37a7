#pragma once

#include <cstdint>
#include <type_traits>

#include "ops/cuda/device/scalar.cuh"
#include "ops/norm.h"

// The arithmetic of a norm's row, shared by the layer_norm kernel and by the matmuls that norm x in
// their prologue, so that all of them give the same bits: 256 threads share a row, thread t takes columns 4t
// to 4t + 3 and those 1024 further on, sums go over each thread's columns in order, over the lanes of a warp
// by butterflies, and over the 8 warps in a fixed order. The number of rows shows nowhere. Every product is
// rounded, or fused by an explicit fmaf, as written here: left to the compiler that would differ between
// kernels.
namespace bolide::cuda {

// An RMS norm has neither mean nor bias: kernels are compiled for it apart.
enum class NormKind : int { kNone, kLayer, kRms };
inline NormKind norm_kind(const Norm& norm) {
  return norm.weight.empty() ? NormKind::kNone : norm.rms ? NormKind::kRms : NormKind::kLayer;
}

inline constexpr int kNormThreads = 256;
inline constexpr int kNormWarps = kNormThreads / 32;
inline constexpr int kNormChunk = 4 * kNormThreads;  // columns that the threads take at once

// What a row's elements are normed with.
struct NormFactors {
  float mean;   // of an RMS norm 0
  float scale;  // 1 / sqrt(variance + eps)
};

// Columns [column, column + 4) of a row, 0 from `hidden` on. `vector`: the row begins on a boundary of four
// elements.
template <class X>
__device__ __forceinline__ float4 load_columns(const X* row, int column, int hidden, bool vector) {
  float4 v = {0, 0, 0, 0};
  if (vector && column + 4 <= hidden) {
    using Vector = std::conditional_t<sizeof(X) == 4, float4, uint2>;
    alignas(16) X x[4];
    *reinterpret_cast<Vector*>(x) = *reinterpret_cast<const Vector*>(row + column);
    v = {to_f32(x[0]), to_f32(x[1]), to_f32(x[2]), to_f32(x[3])};
  } else {
    if (column < hidden) v.x = to_f32(row[column]);
    if (column + 1 < hidden) v.y = to_f32(row[column + 1]);
    if (column + 2 < hidden) v.z = to_f32(row[column + 2]);
    if (column + 3 < hidden) v.w = to_f32(row[column + 3]);
  }
  return v;
}

// values[i] summed over the block's 256 threads, in all of them. `scratch`: [kCount][kNormWarps] floats in
// shared memory, 16-byte aligned, free of readers. One barrier.
template <int kCount>
__device__ __forceinline__ void sum_over_block(float (&values)[kCount], float* scratch) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] += __shfl_xor_sync(0xffffffffu, values[i], offset);
  }
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) scratch[i * kNormWarps + threadIdx.x / 32] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float4* sums = reinterpret_cast<const float4*>(scratch + i * kNormWarps);
    const float4 a = sums[0], b = sums[1];
    values[i] = ((a.x + a.y) + (a.z + a.w)) + ((b.x + b.y) + (b.z + b.w));
  }
}

// Bytes of shared memory that row_factors() takes.
inline constexpr int kNormScratchBytes = 3 * kNormWarps * 4;

// This thread's columns in the first kKept chunks of a row, all on their way at once: one after the other
// from the second-level cache, those of 4096 columns took an H200 3 us.
template <int kKept, class X>
__device__ __forceinline__ void load_chunks(float4 (&kept)[kKept], const X* row, int hidden, bool vector) {
#pragma unroll
  for (int i = 0; i < kKept; ++i)
    kept[i] = load_columns(row, static_cast<int>(threadIdx.x) * 4 + i * kNormChunk, hidden, vector);
}

// The factors of a row. `kept`: load_chunks()'s; further ones are read again for each use, from the
// first-level cache. Called by all 256 threads; two barriers, of an RMS norm one. `scratch` is 16-byte
// aligned shared memory.
template <NormKind kKind, int kKept, class X>
__device__ __forceinline__ NormFactors row_factors(const X* row, int hidden, float eps, bool vector,
                                                   float* scratch, const float4 (&kept)[kKept]) {
  const int first = static_cast<int>(threadIdx.x) * 4, further = first + kKept * kNormChunk;
  const float inverse = __frcp_rn(static_cast<float>(hidden));
  float mean = 0;
  if constexpr (kKind == NormKind::kLayer) {
    float sum[1] = {(kept[0].x + kept[0].y) + (kept[0].z + kept[0].w)};
#pragma unroll
    for (int i = 1; i < kKept; ++i) sum[0] += (kept[i].x + kept[i].y) + (kept[i].z + kept[i].w);
    for (int column = further; column < hidden; column += kNormChunk) {
      const float4 v = load_columns(row, column, hidden, vector);
      sum[0] += (v.x + v.y) + (v.z + v.w);
    }
    sum_over_block(sum, scratch);
    mean = __fmul_rn(sum[0], inverse);
  }
  // About the mean, so that one far from 0 costs no precision; what its own rounding left is taken off again.
  float second[2] = {0, 0};  // what is left, and the squares
  const auto take = [&](float4 v, int column) {
    const float d[4] = {column < hidden ? v.x - mean : 0.0f, column + 1 < hidden ? v.y - mean : 0.0f,
                        column + 2 < hidden ? v.z - mean : 0.0f, column + 3 < hidden ? v.w - mean : 0.0f};
    second[0] += (d[0] + d[1]) + (d[2] + d[3]);
#pragma unroll
    for (float x : d) second[1] = fmaf(x, x, second[1]);
  };
#pragma unroll
  for (int i = 0; i < kKept; ++i) take(kept[i], first + i * kNormChunk);
#pragma unroll 1
  for (int column = further; column < hidden; column += kNormChunk)
    take(load_columns(row, column, hidden, vector), column);
  if constexpr (kKind == NormKind::kRms) {
    float squares[1] = {second[1]};
    sum_over_block(squares, scratch);
    return {0, rsqrtf(__fmul_rn(squares[0], inverse) + eps)};
  } else {
    sum_over_block(second, scratch + kNormWarps);
    const float correction = __fmul_rn(second[0], inverse);
    const float variance = __fmul_rn(fmaf(-second[0], correction, second[1]), inverse);
    return {mean + correction, rsqrtf(fmaxf(variance, 0.0f) + eps)};
  }
}

// `bias` is not looked at by an RMS norm.
template <NormKind kKind>
__device__ __forceinline__ float normalise(float x, NormFactors factors, float weight, float bias) {
  if constexpr (kKind == NormKind::kRms) {
    return __fmul_rn(__fmul_rn(x, factors.scale), weight);
  } else {
    return fmaf(__fmul_rn(x - factors.mean, factors.scale), weight, bias);
  }
}
template <NormKind kKind>
__device__ __forceinline__ float4 normalise(float4 x, NormFactors factors, float4 weight, float4 bias) {
  return {normalise<kKind>(x.x, factors, weight.x, bias.x), normalise<kKind>(x.y, factors, weight.y, bias.y),
          normalise<kKind>(x.z, factors, weight.z, bias.z), normalise<kKind>(x.w, factors, weight.w, bias.w)};
}

}  // namespace bolide::cuda
