#pragma once

#include <cstdint>

// The arithmetic of a layer norm's row, shared by the layer_norm kernel and by the matmuls that norm x in
// their prologue, so that all of them give the same bits. A row is cut into segments of 128 elements; 8 lanes
// sum up one segment in a fixed order, about the segment's own mean (a mean far from 0 costs no precision),
// and the segments' moments are joined in a fixed order. Neither the number of rows nor who takes which
// segment shows in the result: a warp takes 4 segments at a time, of one row or of different ones, and a
// row's segments may be spread over warps and blocks. Every product is rounded, or fused by an explicit fmaf,
// as written here: left to the compiler that would differ between kernels.
//
// How to use it, with `moments` [rows][norm_segments(hidden)] in shared memory:
//   for each of this warp's tasks, 4 at a time (lanes 8i .. 8i+7 have task i; a lane group without a task
//   goes along with any valid row and segment and stores nothing):
//     load_segment(row, hidden, segment, vector, x);
//     Moments m = segment_moments(x, hidden, segment);       // same in all 8 lanes
//     if (lane % 8 == 0) moments[row][segment] = m;
//   __syncthreads();
//   NormFactors f = norm_factors(moments[row], hidden, eps);  // by all 32 lanes; each 8 may have another row
//   y[column] = normalise(x[column], f, weight[column], bias[column]);
namespace bolide::cuda {

inline constexpr int kNormSegment = 128;
inline constexpr int kNormLanes = 8;                             // lanes that share a segment
inline constexpr int kNormElements = kNormSegment / kNormLanes;  // of a segment, in one lane

// The moments of one segment.
struct Moments {
  float mean;
  float squares;  // sum of (x - mean)^2
};

// What a row's elements are normed with.
struct NormFactors {
  float mean;
  float scale;  // 1 / sqrt(variance + eps)
};

__host__ __device__ __forceinline__ int norm_segments(int hidden) {
  return (hidden + kNormSegment - 1) / kNormSegment;
}

// The column that element i of this lane's part of a segment has: 8 lanes read 128 contiguous bytes at once.
__device__ __forceinline__ int norm_column(int segment, int i) {
  return segment * kNormSegment + i / 4 * (4 * kNormLanes) + static_cast<int>(threadIdx.x) % kNormLanes * 4 +
         i % 4;
}

// This lane's elements of a segment, 0 from `hidden` on. `vector`: the row is 16-byte aligned.
__device__ __forceinline__ void load_segment(const float* row, int hidden, int segment, bool vector,
                                             float (&x)[kNormElements]) {
  if (vector && (segment + 1) * kNormSegment <= hidden) {
#pragma unroll
    for (int i = 0; i < kNormElements; i += 4) {
      const float4 v = *reinterpret_cast<const float4*>(row + norm_column(segment, i));
      x[i] = v.x, x[i + 1] = v.y, x[i + 2] = v.z, x[i + 3] = v.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kNormElements; ++i) {
      const int column = norm_column(segment, i);
      x[i] = column < hidden ? row[column] : 0.0f;
    }
  }
}

// Sum over the 8 lanes of a segment, in all of them. Called by whole warps.
__device__ __forceinline__ float segment_sum(float value) {
#pragma unroll
  for (int offset = kNormLanes / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// From load_segment()'s elements. Called by whole warps. A segment past the row's end has no meaning.
__device__ __forceinline__ Moments segment_moments(const float (&x)[kNormElements], int hidden, int segment) {
  const int count = max(1, min(kNormSegment, hidden - segment * kNormSegment));
  const float inverse = __frcp_rn(static_cast<float>(count));
  float sums[kNormElements / 4];
#pragma unroll
  for (int i = 0; i < kNormElements / 4; ++i)
    sums[i] = (x[4 * i] + x[4 * i + 1]) + (x[4 * i + 2] + x[4 * i + 3]);
  // Near the mean, up to the rounding of this sum; what is left of it comes out of the second pass.
  const float center = __fmul_rn(segment_sum((sums[0] + sums[1]) + (sums[2] + sums[3])), inverse);
  float first[2] = {0, 0}, second[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < kNormElements; ++i) {
    const float difference = norm_column(segment, i) < hidden ? x[i] - center : 0.0f;
    first[i % 2] += difference;
    second[i % 2] = fmaf(difference, difference, second[i % 2]);
  }
  const float off = segment_sum(first[0] + first[1]), squares = segment_sum(second[0] + second[1]);
  const float correction = __fmul_rn(off, inverse);
  return {center + correction, fmaf(-off, correction, squares)};
}

// A row's factors from the moments of all its segments. Called by whole warps; each group of 8 lanes may pass
// another row's moments.
__device__ __forceinline__ NormFactors norm_factors(const Moments* moments, int hidden, float eps) {
  const int segments = norm_segments(hidden), first = static_cast<int>(threadIdx.x) % kNormLanes;
  const float inverse = __frcp_rn(static_cast<float>(hidden)), about = moments[0].mean;
  const auto count = [&](int segment) {
    return static_cast<float>(min(kNormSegment, hidden - segment * kNormSegment));
  };
  float off = 0;
#pragma unroll 1
  for (int s = first; s < segments; s += kNormLanes) off = fmaf(moments[s].mean - about, count(s), off);
  const float mean = fmaf(segment_sum(off), inverse, about);
  float squares = 0;
#pragma unroll 1
  for (int s = first; s < segments; s += kNormLanes) {
    const float away = moments[s].mean - mean;
    squares += fmaf(__fmul_rn(away, away), count(s), moments[s].squares);
  }
  const float variance = __fmul_rn(segment_sum(squares), inverse);
  return {mean, rsqrtf(fmaxf(variance, 0.0f) + eps)};
}

__device__ __forceinline__ float normalise(float x, NormFactors factors, float weight, float bias) {
  return fmaf(__fmul_rn(x - factors.mean, factors.scale), weight, bias);
}

}  // namespace bolide::cuda
