#pragma once

#include <cstdint>

// The largest of many logits: one integer a candidate, its logit's key above the complement of its column, so
// that the larger of two is the one wanted, the lowest column among equals.
namespace bolide::cuda {

// Integers that compare as the floats do; of the two zeros there is one. Finite values and infinities are
// between kNoKey and kNanKey.
constexpr uint32_t kNoKey = 0, kNanKey = 0xffffffffu;
__device__ __forceinline__ uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float value_of(uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// Nothing is less than any candidate, and NaN more.
constexpr uint64_t kNoArgmax = 0, kNanArgmax = ~uint64_t{0};
__device__ __forceinline__ uint64_t candidate_of(float x, int column) {
  return x != x ? kNanArgmax : uint64_t{key_of(x)} << 32 | ~static_cast<uint32_t>(column);
}

// A row's largest logit and the first column of it. Where it is not finite the column means nothing.
struct Top {
  float max;
  int column;
  bool finite;
};
__device__ __forceinline__ Top top_of(uint64_t candidate) {
  if (candidate == kNoArgmax) return {-INFINITY, 0, false};
  const auto key = static_cast<uint32_t>(candidate >> 32);
  if (key == kNanKey) return {NAN, 0, false};
  const float max = value_of(key);
  return {max, static_cast<int>(~static_cast<uint32_t>(candidate)), max > -INFINITY && max < INFINITY};
}

// A thread's way over logits in the order of their columns.
struct ArgmaxSoFar {
  float max = -INFINITY;
  int at = -1;
  bool nan = false;
  __device__ __forceinline__ void look(float x, int i) {
    nan |= x != x;
    if (x > max) max = x, at = i;
  }
  // Index 0 being column `first`. Nothing but minus infinity is nothing.
  __device__ __forceinline__ uint64_t candidate(int first) const {
    return nan ? kNanArgmax : at >= 0 ? candidate_of(max, first + at) : kNoArgmax;
  }
};

// The largest of each `lanes` neighbouring lanes, a power of two, in all of them. Called by whole warps.
__device__ __forceinline__ uint64_t argmax_of_lanes(uint64_t candidate, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    const uint64_t other = __shfl_xor_sync(0xffffffffu, candidate, offset);
    candidate = other > candidate ? other : candidate;
  }
  return candidate;
}

}  // namespace bolide::cuda
