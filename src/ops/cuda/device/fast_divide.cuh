#pragma once

#include <cstdint>

namespace bolide::cuda {

// Division of 0 <= n < 2^31 by a number known at launch: a product and a shift in place of some twenty
// instructions. (Granlund and Montgomery: with 2^shift >= divisor, the multiplier is 33 bits long, whose top
// bit is the added n.)
struct FastDivide {
  uint32_t divisor = 1, multiplier = 1, shift = 0;

  FastDivide() = default;
  explicit FastDivide(uint32_t d) : divisor(d) {
    while ((uint64_t{1} << shift) < d) ++shift;
    multiplier = static_cast<uint32_t>((((uint64_t{1} << shift) - d) << 32) / d + 1);
  }
#ifdef __CUDACC__
  __device__ __forceinline__ uint32_t operator()(uint32_t n) const {
    return (__umulhi(n, multiplier) + n) >> shift;
  }
#endif
};

}  // namespace bolide::cuda
