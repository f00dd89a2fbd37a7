#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

// Whole numbers of int8 weights as the types that tensor cores multiply, which hold them exactly.
namespace bolide::cuda {

// Of a word's four numbers the first two, and the others, each two as T. By the bits: a byte under a fixed
// exponent is a number plus a constant, which is then taken off.
template <class T>
__device__ __forceinline__ uint2 widen_int8(uint32_t word);
template <>
__device__ __forceinline__ uint2 widen_int8<__half>(uint32_t word) {
  const uint32_t shifted = word ^ 0x80808080u;  // number + 128; below 0x64 that is 1024 more
  const __half2 off = __halves2half2(__ushort_as_half(0x6480), __ushort_as_half(0x6480));
  const auto pair = [&](uint32_t selector) {
    const uint32_t bits = __byte_perm(shifted, 0x64646464u, selector);
    const __half2 value = __hsub2(*reinterpret_cast<const __half2*>(&bits), off);
    return *reinterpret_cast<const uint32_t*>(&value);
  };
  return {pair(0x4140), pair(0x4342)};
}
// Seven bits are all that fit under an exponent: they make 128 + (number & 127) below 0x43, from which 128 is
// taken off, or 256 where the number is negative: 0x4300, or with its eighth bit 0x4380.
template <>
__device__ __forceinline__ uint2 widen_int8<__nv_bfloat16>(uint32_t word) {
  const auto pair = [&](uint32_t selector) {
    const uint32_t bits = __byte_perm(word, 0x43434343u, selector);
    const uint32_t low = bits & 0xff7fff7fu, off = bits & 0xff80ff80u;
    const __nv_bfloat162 value = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&low),
                                         *reinterpret_cast<const __nv_bfloat162*>(&off));
    return *reinterpret_cast<const uint32_t*>(&value);
  };
  return {pair(0x4140), pair(0x4342)};
}

}  // namespace bolide::cuda
