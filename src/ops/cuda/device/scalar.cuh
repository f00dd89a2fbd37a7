#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "tensor/dtype.h"

// The storage types of tensor/dtype.h as CUDA's own, and conversions between them and float.
namespace bolide::cuda {

template <class T>
struct DeviceType {
  using type = T;  // float, int32_t, ...
};
template <>
struct DeviceType<f16> {
  using type = __half;
};
template <>
struct DeviceType<bf16> {
  using type = __nv_bfloat16;
};
template <class T>
using device_t = typename DeviceType<T>::type;

__device__ __forceinline__ float to_f32(float x) { return x; }
__device__ __forceinline__ float to_f32(int8_t x) { return static_cast<float>(x); }
__device__ __forceinline__ float to_f32(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_f32(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ __forceinline__ T from_f32(float x);
template <>
__device__ __forceinline__ float from_f32<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ __half from_f32<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_f32<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// Two elements as they lie in memory, `a` first.
__device__ __forceinline__ uint32_t pack(__half a, __half b) {
  return __half_as_ushort(a) | static_cast<uint32_t>(__half_as_ushort(b)) << 16;
}
__device__ __forceinline__ uint32_t pack(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __bfloat16_as_ushort(a) | static_cast<uint32_t>(__bfloat16_as_ushort(b)) << 16;
}

// Elements of T in a 16-byte vector access.
template <class T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

}  // namespace bolide::cuda
