#pragma once

#include <cstring>

#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/device/attention_ptx.cuh"
#include "ops/cuda/device/scalar.cuh"

// Where the elements of activations and of pages lie.
namespace bolide::cuda {

// Row of the pages as a matrix [pages * kv_heads * page_size, head_size] where sequence `table` (its row of
// the page table) has its j-th token. No entry of the table after `last` is read, whatever j is.
__device__ __forceinline__ uint32_t page_row(const AttentionParams& p, const int32_t* table, int last,
                                             int kv_head, int j) {
  const uint32_t index = p.page_size(static_cast<uint32_t>(j));
  const uint32_t page = static_cast<uint32_t>(table[min(static_cast<int>(index), last)]);
  return (page * static_cast<uint32_t>(p.kv_heads) + static_cast<uint32_t>(kv_head)) * p.page_size.divisor +
         static_cast<uint32_t>(j) - index * p.page_size.divisor;
}
// Row of that matrix for a slot.
__device__ __forceinline__ uint32_t slot_row(const AttentionParams& p, int64_t slot, int kv_head) {
  const uint32_t page = p.page_size(static_cast<uint32_t>(slot));
  return (page * static_cast<uint32_t>(p.kv_heads - 1) + static_cast<uint32_t>(kv_head)) *
             p.page_size.divisor +
         static_cast<uint32_t>(slot);
}

// What the index arrays say of one query row.
struct QueryRow {
  int sequence;
  int seen;  // keys that it attends to: of tokens 0 to seen - 1, the last being its own; 0 for padding
};
__device__ __forceinline__ QueryRow find_row(const AttentionParams& p, int64_t row) {
  // The last sequence that begins at or before the row: those without rows before it are passed over.
  int low = 0, high = p.sequences;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (p.query_offsets[middle] <= row ? low : high) = middle;
  }
  const int after = p.query_offsets[low + 1] - 1 - static_cast<int>(row);
  return {low, after >= 0 ? p.kv_lengths[low] - after : 0};
}

template <class T>
inline constexpr DType kDTypeOfDevice = sizeof(T) == 4                ? DType::kF32
                                        : __is_same(T, __nv_bfloat16) ? DType::kBF16
                                                                      : DType::kF16;

template <class T>
__device__ __forceinline__ void unpack(const uint4& from, float (&x)[kVector<T>]) {
  if constexpr (sizeof(T) == 4) {
    x[0] = __uint_as_float(from.x), x[1] = __uint_as_float(from.y);
    x[2] = __uint_as_float(from.z), x[3] = __uint_as_float(from.w);
  } else {
    const uint32_t words[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = unpack_pair<T>(words[i]);
      x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
    }
  }
}
template <class T>
__device__ __forceinline__ uint4 pack(const float (&x)[kVector<T>]) {
  T elements[kVector<T>];
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) elements[i] = from_f32<T>(x[i]);
  uint4 to;
  memcpy(&to, elements, sizeof(to));
  return to;
}

// kCount elements of `m` from `column` of row `row` on as floats, zeros from column `end` on.
template <class T, int kCount>
__device__ __forceinline__ void load_as(const Matrix& m, int64_t row, int column, int end,
                                        float (&x)[kCount]) {
  const T* from = static_cast<const T*>(m.data) + row * m.stride + column;
  if (m.vectors && column + kCount <= end) {
    if constexpr (kCount * sizeof(T) >= 16) {
#pragma unroll
      for (int i = 0; i < kCount; i += kVector<T>) {
        float part[kVector<T>];
        unpack<T>(*reinterpret_cast<const uint4*>(from + i), part);
#pragma unroll
        for (int j = 0; j < kVector<T>; ++j) x[i + j] = part[j];
      }
    } else {  // four 16-bit elements beside an fp32 cache
      const uint2 words = *reinterpret_cast<const uint2*>(from);
      float part[kVector<T>];
      unpack<T>({words.x, words.y, 0, 0}, part);
#pragma unroll
      for (int j = 0; j < kCount; ++j) x[j] = part[j];
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) x[i] = column + i < end ? to_f32(from[i]) : 0.0f;
}
template <int kCount>
__device__ __forceinline__ void load(const Matrix& m, int64_t row, int column, int end, float (&x)[kCount]) {
  if (m.dtype == DType::kF32) {
    load_as<float>(m, row, column, end, x);
  } else if (m.dtype == DType::kF16) {
    load_as<__half>(m, row, column, end, x);
  } else {
    load_as<__nv_bfloat16>(m, row, column, end, x);
  }
}
// A vector of T from there, converted where `m` is of another type.
template <class T>
__device__ __forceinline__ uint4 load_vector_of(const Matrix& m, int64_t row, int column, int end) {
  if (m.vectors && m.dtype == kDTypeOfDevice<T> && column + kVector<T> <= end)
    return *reinterpret_cast<const uint4*>(static_cast<const T*>(m.data) + row * m.stride + column);
  float x[kVector<T>];
  load(m, row, column, end, x);
  return pack<T>(x);
}
__device__ __forceinline__ void store(const Matrix& m, int64_t row, int column, float x) {
  const int64_t at = row * m.stride + column;
  if (m.dtype == DType::kF32) {
    static_cast<float*>(m.data)[at] = x;
  } else if (m.dtype == DType::kF16) {
    static_cast<__half*>(m.data)[at] = from_f32<__half>(x);
  } else {
    static_cast<__nv_bfloat16*>(m.data)[at] = from_f32<__nv_bfloat16>(x);
  }
}

}  // namespace bolide::cuda
