#pragma once

#include "ops/matmul.h"

namespace bolide::cuda {

// On one element in fp32. The GELUs and SiLU are products of x with a sigmoid or an upper tail, which do not
// cancel for negative x as 1 + tanh and 1 + erf do.
__device__ __forceinline__ float activate(Activation activation, float x) {
  // Without the branches of exactly rounded ones, with which bloom-560m's `up` of 64 rows took an H200 1.3 us
  // longer.
  const auto sigmoid = [](float v) { return __fdividef(1.0f, 1.0f + __expf(-v)); };
  switch (activation) {
    case Activation::kGeluTanh:  // 0.5 (1 + tanh(u)) = sigmoid(2u)
      return x * sigmoid(x * fmaf(x * x, 2 * 0.79788456f * 0.044715f, 2 * 0.79788456f));
    case Activation::kGeluErf:
      return x * 0.5f * erfcf(x * -0.70710678f);
    case Activation::kRelu:
      return x < 0.0f ? 0.0f : x;  // fmaxf() drops NaN
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kNone:
      break;
  }
  return x;
}

// On several at once: the choice is made once, and their instructions interleave.
template <int kCount>
__device__ __forceinline__ void activate_all(Activation activation, float (&x)[kCount]) {
  const auto all = [&](Activation chosen) {
#pragma unroll
    for (float& value : x) value = activate(chosen, value);
  };
  switch (activation) {
    case Activation::kGeluTanh:
      return all(Activation::kGeluTanh);
    case Activation::kGeluErf:
      return all(Activation::kGeluErf);
    case Activation::kRelu:
      return all(Activation::kRelu);
    case Activation::kSilu:
      return all(Activation::kSilu);
    case Activation::kNone:
      break;
  }
}

}  // namespace bolide::cuda
