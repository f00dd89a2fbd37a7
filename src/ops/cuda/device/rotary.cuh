#pragma once

#include "ops/cuda/device/attention_ptx.cuh"

// A pair turned by an angle, with each rounding written out so that all kernels give the same bits.
namespace bolide::cuda {

__device__ __forceinline__ float2 turn_pair(float a, float b, float cos, float sin) {
  return {fmaf(a, cos, -__fmul_rn(b, sin)), fmaf(b, cos, __fmul_rn(a, sin))};
}

// A lane's vectors of a head, which are 32 columns apart: the halves of a pair are in vectors kSteps / 2
// apart. `cosines`, `sines`: at the lane's first column.
template <class T, int kSteps>
__device__ __forceinline__ void turn_vectors(uint4 (&x)[kSteps], const float* cosines, const float* sines) {
  constexpr int kHalf = kSteps / 2;
#pragma unroll
  for (int s = 0; s < kHalf; ++s) {
    uint32_t* low[4] = {&x[s].x, &x[s].y, &x[s].z, &x[s].w};
    uint32_t* high[4] = {&x[s + kHalf].x, &x[s + kHalf].y, &x[s + kHalf].z, &x[s + kHalf].w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 cos = *reinterpret_cast<const float2*>(cosines + 32 * s + 2 * i);
      const float2 sin = *reinterpret_cast<const float2*>(sines + 32 * s + 2 * i);
      const float2 a = unpack_pair<T>(*low[i]), b = unpack_pair<T>(*high[i]);
      const float2 first = turn_pair(a.x, b.x, cos.x, sin.x), second = turn_pair(a.y, b.y, cos.y, sin.y);
      *low[i] = pack_pair<T>(first.x, second.x);
      *high[i] = pack_pair<T>(first.y, second.y);
    }
  }
}

}  // namespace bolide::cuda
