#pragma once

#include "ops/cuda/attention_kernels.h"

// What attention adds to a score, as a type that the tiled kernels are instantiated with. An object is made
// once for each head; bias(i, j) is added to the score of query i and key j (their positions in the sequence,
// as floats: exact up to 2^24, and no conversion for each score), in units of log2. kLinear: bias(i, j + n)
// is bias(i, j) + slope * n, which costs one instruction a score. kZero: it is nothing at all.
namespace bolide::cuda {

struct NoBias {
  static constexpr bool kZero = true, kLinear = false;
  __device__ __forceinline__ NoBias(const AttentionParams&, int /*head*/) {}
  __device__ __forceinline__ float operator()(float, float) const { return 0.0f; }
};

struct Alibi {
  static constexpr bool kZero = false, kLinear = true;
  __device__ __forceinline__ Alibi(const AttentionParams& p, int head)
      : slope(p.alibi_slopes[head] * 1.4426950408889634f) {}
  __device__ __forceinline__ float operator()(float i, float j) const { return slope * (j - i); }
  float slope;
};

}  // namespace bolide::cuda
