#pragma once

// What gemm_amx.cc and gemm_bf16_dot.cc share. Compiled by each with its own flags, so in an unnamed
// namespace, and this file, too, may include nothing but plain data.
#include <immintrin.h>

#include "ops/cpu/gemm_bf16.h"

namespace bolide::cpu {
namespace {

// The first `count` of 16 lanes: none under 1, all from 16 on.
inline __mmask16 first_lanes(int64_t count) {
  return count >= 16 ? 0xFFFF : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}

// y[0 : columns] of at most 16 = sum * scale, plus what is there. No scale: 1.
inline void store_sums(float* y, int64_t columns, bool accumulate, const float* scale, __m512 sum) {
  const __mmask16 mask = first_lanes(columns);
  const __m512 before = accumulate ? _mm512_maskz_loadu_ps(mask, y) : _mm512_setzero_ps();
  _mm512_mask_storeu_ps(
      y, mask,
      scale ? _mm512_fmadd_ps(sum, _mm512_maskz_loadu_ps(mask, scale), before) : _mm512_add_ps(before, sum));
}

// The first 32 of a row's `left` values, rounded to bf16; zeros beyond.
inline __m512i round_to_bf16(const float* row, int64_t left) {
  return reinterpret_cast<__m512i>(
      _mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(first_lanes(left - 16), row + 16),
                          _mm512_maskz_loadu_ps(first_lanes(left), row)));
}

}  // namespace
}  // namespace bolide::cpu
