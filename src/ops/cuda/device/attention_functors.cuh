#pragma once

#include "ops/attention_mask.h"
#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/device/attention_ptx.cuh"

// What decides which keys a query sees, and what becomes of a score, as types that kernels are instantiated
// with: for what many models have a pair of its own, for everything else one pair that asks at run time, once
// for a tile of scores.
namespace bolide::cuda {

// What the mask functors of ops/attention_mask.h are made of.
template <class Mask>
__device__ __forceinline__ Mask mask_of(const AttentionParams& p, int sequence) {
  if constexpr (Mask::kBand) {
    return BandMask::of(p.mask, p.window, p.kv_lengths[sequence],
                        p.mask == MaskKind::kPrefix ? p.prefix_lengths[sequence] : 0);
  } else {
    return {};
  }
}

// Positions. An object is made once for each head. kZero: they add nothing to a score. kLinear: bias(i, j) is
// added to that of query i and key j (their positions in the sequence, as floats: exact up to 2^24, and no
// conversion for each score), in units of log2, and bias(i, j + n) is bias(i, j) + slope * n, which costs one
// instruction a score. kAny: what finish() does.
struct NoBias {
  static constexpr bool kZero = true, kLinear = false, kAny = false;
  __device__ __forceinline__ NoBias(const AttentionParams&, int /*head*/) {}
};

struct Alibi {
  static constexpr bool kZero = false, kLinear = true, kAny = false;
  __device__ __forceinline__ Alibi(const AttentionParams& p, int head)
      : slope(p.alibi_slopes[head] * 1.4426950408889634f) {}
  __device__ __forceinline__ float operator()(float i, float j) const { return slope * (j - i); }
  float slope;
};

// x to cap * tanh(x / cap), by way of tanh(x) = 1 - 2 / (1 + e^2x): all in units of log2, an error of 1e-7 of
// the cap. NaN stays.
__device__ __forceinline__ float soft_cap(float x, float cap_log2, float factor) {
  return fmaf(-2.0f * cap_log2, __fdividef(1.0f, 1.0f + exp2_approx(x * factor)), cap_log2);
}

// Every kind of position, and the soft cap.
struct AnyScore {
  static constexpr bool kZero = false, kLinear = false, kAny = true;
  __device__ __forceinline__ AnyScore() {}
  __device__ __forceinline__ AnyScore(const AttentionParams& p, int head)
      : AnyScore(p.alibi_slopes ? p.alibi_slopes[head] : 0.0f, p.relative, p.far, p.soft_cap_log2, head) {}
  __device__ __forceinline__ AnyScore(float alibi_slope, const float* table, int most, float cap, int head)
      : slope(alibi_slope * 1.4426950408889634f),
        relative(table ? table + static_cast<int64_t>(head) * (2 * most + 1) + most : nullptr),
        far(most),
        cap_log2(cap) {}

  // Makes scores of scaled q.k. visit(f) calls f(score, j - i) for each that a thread has.
  template <class Visit>
  __device__ __forceinline__ void finish(Visit&& visit) const {
    if (slope != 0) {
      visit([&](float& x, int distance) { x = fmaf(slope, static_cast<float>(distance), x); });
    }
    if (relative) {
      visit([&](float& x, int distance) {
        x = fmaf(relative[min(max(distance, -far), far)], 1.4426950408889634f, x);
      });
    }
    if (cap_log2 > 0) {
      const float factor = 2.0f * 1.4426950408889634f / cap_log2;
      visit([&](float& x, int) { x = soft_cap(x, cap_log2, factor); });
    }
  }

  float slope;
  const float* relative;  // the head's bias at a distance of 0
  int far;
  float cap_log2;
};

// The table of pairs: f.operator()<Mask, Bias>() for what `p` has.
template <class F>
void dispatch_score(const AttentionParams& p, F&& f) {
  if (p.causal() && p.plain_scores()) {
    p.alibi_slopes ? f.template operator()<CausalMask, Alibi>() : f.template operator()<CausalMask, NoBias>();
  } else if (p.plain_scores() && !p.alibi_slopes) {
    f.template operator()<BandMask, NoBias>();
  } else {
    f.template operator()<BandMask, AnyScore>();
  }
}

}  // namespace bolide::cuda
