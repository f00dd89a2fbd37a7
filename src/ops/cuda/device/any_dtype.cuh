#pragma once

#include "ops/cuda/device/scalar.cuh"

// Elements whose type is known only at run time: for what is read or written once, where a template on the
// type would multiply the kernels. The branch is the same for all threads.
namespace bolide::cuda {

// An element's bits, so that a load need not be waited for before its value is wanted.
__device__ __forceinline__ uint32_t load_bits(const void* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) return static_cast<const uint32_t*>(data)[index];
  return static_cast<const uint16_t*>(data)[index];
}

__device__ __forceinline__ float bits_to_f32(uint32_t bits, DType dtype) {
  if (dtype == DType::kF32) return __uint_as_float(bits);
  if (dtype == DType::kBF16) return __uint_as_float(bits << 16);
  return __half2float(__ushort_as_half(static_cast<uint16_t>(bits)));
}

__device__ __forceinline__ float load_f32(const void* data, DType dtype, int64_t index) {
  return bits_to_f32(load_bits(data, dtype, index), dtype);
}

__device__ __forceinline__ void store_f32(void* data, DType dtype, int64_t index, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(data)[index] = value;
  } else if (dtype == DType::kBF16) {
    static_cast<__nv_bfloat16*>(data)[index] = from_f32<__nv_bfloat16>(value);
  } else {
    static_cast<__half*>(data)[index] = from_f32<__half>(value);
  }
}

}  // namespace bolide::cuda
