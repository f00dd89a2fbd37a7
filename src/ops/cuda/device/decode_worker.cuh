#pragma once

#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/device/attention_functors.cuh"
#include "ops/cuda/device/attention_ptx.cuh"
#include "ops/cuda/device/cluster.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/rotary.cuh"

// Attention of a decode step: one query row a sequence, whose own key and value are not in the pages yet.
// Bound by the chain of kernels rather than by its work, so everything that can be is done before the
// previous kernel has ended, and what remains is short and hardly branches.
//
// Keys in the pages are cut into units of 16, which the warps of a cluster take in turns, two of them (one of
// wide heads) at a time: their keys and values wait in registers in the form in which the tensor cores want
// them. Up to 8 query heads are the rows of q k^T, whose fragments are the columns of v^T p as they stand.
// The newest key is no part of a unit: the warps that add up a block's warps take it as one warp more, whose
// sum is that value itself.
namespace bolide::cuda {

inline constexpr int kDecodeWarps = 8, kDecodeThreads = 32 * kDecodeWarps;
inline constexpr int kDecodeUnit = 16;  // keys; pages are multiples of it
inline constexpr int kMaxDecodeCluster = 8;
inline constexpr int kMaxGroupedHeads = 8;  // query heads of a key head that are computed together

// What attention_decode() launches: AttentionParams without what is known, strides and offsets in elements.
struct DecodeParams {
  const void *q, *k, *v;
  void* y;
  void *k_pages, *v_pages;
  const int32_t *page_table, *kv_lengths;
  const int64_t* slots;
  const float* alibi_slopes;  // or null
  const float *cos, *sin;     // of rotary positions, or null
  int64_t angle_stride;
  uint32_t q_stride, k_stride, v_stride, y_stride;  // times rows: below 2^32
  int kv_heads, group;                              // query heads of a key head
  int max_pages;
  int page_shift;     // log2 of the page size
  int cluster_shift;  // log2 of the blocks that share a row
  float scale_log2;
  // Of AttentionParams, too.
  float soft_cap_log2;
  const float* relative;
  int far;
  int window;

  // Whether any of these counts.
  bool any() const { return soft_cap_log2 > 0 || relative || window != kNoWindow; }
  int head_blocks() const { return (group + kMaxGroupedHeads - 1) / kMaxGroupedHeads; }
};

// kHead: 64 or 128. kGrouped: up to 8 query heads of a key head are computed together, else it has but one.
// kRotary: queries and the newest key are turned on their way in.
// kOnce: no warp has more than one tile. kBeside: with so few registers that a block fits beside one
// of the q, k, v product (512 threads of 80), and its keys are on their way before that has ended. kAny: with
// a window, and whatever AnyScore has.
template <class T, int kHead_, bool kGrouped_, bool kRotary_, bool kClustered_, bool kOnce_,
          bool kBeside = false, bool kAny_ = false>
struct DecodeTraits {
  using Type = T;
  static constexpr int kHead = kHead_, kHeads = kGrouped_ ? kMaxGroupedHeads : 1;
  static constexpr bool kRotary = kRotary_;
  static constexpr int kAngles = kRotary ? kHead : 1;  // a row's cosines, then its sines
  static constexpr bool kGrouped = kGrouped_, kClustered = kClustered_, kOnce = kOnce_, kAny = kAny_;
  static constexpr int kUnits = 128 / kHead;  // of a warp's tile: 64 registers of keys and values
  static constexpr int kRegisters = kBeside ? 96 : 128;
  static constexpr int kSteps = kHead / 32;    // vectors of a key that a lane has: columns 32s + 8 (lane % 4)
  static constexpr int kColumns = kHead / 64;  // of a value: of columns 64c and on one in eight
  // Shared memory, in floats: the mailbox, then of each head and warp the max, the sum of weights and that of
  // weighted values; last what other blocks send, of each, each head and each lane.
  static constexpr int kPitch = kHead + (kGrouped ? 4 : 0);
  static constexpr int kMax = 4, kSum = kMax + kHeads * kDecodeWarps, kValues = kSum + kHeads * kDecodeWarps;
  static constexpr int kMail = kValues + kDecodeWarps * kHeads * kPitch;
  static constexpr int kLetter = (kColumns + 1) * 32;  // float2
  static constexpr size_t shared_bytes(int cluster) {
    return sizeof(float) * (kMail + static_cast<size_t>(cluster - 1) * kHeads * kLetter * 2);
  }
};

// Keys and columns of a unit meet the products' indices in an order in which no two lanes read one bank where
// the copy engine has permuted 16-byte pieces (hopper_ptx.cuh): 0, 4, 1, 5, 2, 6, 3, 7.
__device__ __forceinline__ int decode_order(int index) { return index >> 1 | (index & 1) << 2; }

// The part of a unit that a lane has. lane = 4g + t: of the keys number g of the first 8 and the last 8 a
// quarter, columns 32s + 8t; of the values 2t and 2t + 1 of both, which are keys t and t + 4, the g-th
// eighth.
template <class Traits>
struct DecodeUnit {
  using T = typename Traits::Type;
  uint4 k[2][Traits::kSteps];
  uint4 v[2][2][Traits::kColumns];

  // The lane's vectors, by the offset of their elements from its first one and by their key in the unit.
  template <class F>
  static __device__ __forceinline__ void each_key(F&& f) {
    const int row = decode_order(static_cast<int>(threadIdx.x % 32 / 4));
#pragma unroll
    for (int j = 0; j < 2; ++j)
#pragma unroll
      for (int s = 0; s < Traits::kSteps; ++s) f(j, s, j * 8 * Traits::kHead + s * 32, 8 * j + row);
  }
  template <class F>
  static __device__ __forceinline__ void each_value(F&& f) {
    const int t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
    for (int j = 0; j < 2; ++j)
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int c = 0; c < Traits::kColumns; ++c)
          f(j, i, c, (j * 8 + i * 4) * Traits::kHead + c * 64, 8 * j + 4 * i + t);
  }

  // `from`: the lane's columns of its row of the first unit of the pages; `row`: of the unit; `left`: keys
  // from its first to the last. What is beyond that is zero: there may be anything, NaN too.
  __device__ __forceinline__ void load_keys(const T* from, uint32_t row, int left) {
    each_key([&](int j, int s, int offset, int key) {
      k[j][s] = load_once(from + static_cast<int64_t>(row) * Traits::kHead + offset, key < left);
    });
  }
  // `from`: those of row t. `skip`: keys that are not seen, of kAny.
  __device__ __forceinline__ void load_values(const T* from, uint32_t row, int left, int skip) {
    each_value([&](int j, int i, int c, int offset, int key) {
      v[j][i][c] = load_once(from + static_cast<int64_t>(row) * Traits::kHead + offset,
                             key < left && (!Traits::kAny || key >= skip));
    });
  }
};

// A lane's quarter of the 8 heads' queries: words 0, 2, 1 and 3 of each vector. Rows 0 to 7 of such a
// fragment are the heads with words 0 and 1 of each quarter, rows 8 to 15 the same heads with words 2 and 3:
// so keys meet it as they lie in memory, in two products of which each has half of its rows to use.
template <int kSteps>
struct DecodeQuery {
  uint32_t words[kSteps][4];

  // The lane's columns of its head's query.
  __device__ __forceinline__ void take(const uint4 (&query)[kSteps]) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const uint4 x = query[s];
      words[s][0] = x.x, words[s][1] = x.z, words[s][2] = x.y, words[s][3] = x.w;
    }
  }
};

// Into shared memory, by the block's first threads, and before the previous kernel has ended: the angles were
// made when the step began.
template <class Traits>
__device__ __forceinline__ void bring_angles(const DecodeParams& p, uint32_t row, float* angles) {
  constexpr int kHalf = Traits::kHead / 2;
  if (threadIdx.x >= 32) return;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kHalf; i += 32) {
    angles[i] = p.cos[row * p.angle_stride + i];
    angles[kHalf + i] = p.sin[row * p.angle_stride + i];
  }
}

// q . k of 8 keys for 8 heads: c[i] that of head lane / 4 and of the key that is number 2 * (lane % 4) + i.
template <class T, int kSteps>
__device__ __forceinline__ void multiply_keys(const DecodeQuery<kSteps>& q, const uint4 (&k)[kSteps],
                                              float (&c)[2]) {
  float low[4] = {}, high[4] = {};
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    multiply_add<T>(low, q.words[s], k[s].x, k[s].y);
    multiply_add<T>(high, q.words[s], k[s].z, k[s].w);
  }
  c[0] = low[0] + high[2];
  c[1] = low[1] + high[3];
}

// y += v^T p. y[4c + m][i] is column 2m + i / 2 of the lane's eighth of columns 64c and on, of head
// 2 * (lane % 4) + i % 2; p0 and p1 the weights of head lane / 4 and of the keys that are number 2 * (lane %
// 4) and the next, of the first 8 and the last.
template <class T, int kColumns>
__device__ __forceinline__ void multiply_values(const uint4 (&v)[2][2][kColumns], uint32_t p0, uint32_t p1,
                                                float (&y)[4 * kColumns][4]) {
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const auto word = [&](int j, int i, int m) {
      const uint4& x = v[j][i][c];
      return m == 0 ? x.x : m == 1 ? x.y : m == 2 ? x.z : x.w;
    };
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const uint32_t columns[4] = {__byte_perm(word(0, 0, m), word(0, 1, m), 0x5410),
                                   __byte_perm(word(0, 0, m), word(0, 1, m), 0x7632),
                                   __byte_perm(word(1, 0, m), word(1, 1, m), 0x5410),
                                   __byte_perm(word(1, 0, m), word(1, 1, m), 0x7632)};
      multiply_add<T>(y[4 * c + m], columns, p0, p1);
    }
  }
}

// The max of some scores, the sum of weights 2^(score - max), and that of weighted values of a lane's
// columns.
template <int kColumns>
struct DecodeSum {
  // Finite, so that the difference of two of them is not NaN.
  static constexpr float kLowest = -1e30f;
  float max = kLowest, weight = 0;
  float2 y[kColumns] = {};

  __device__ __forceinline__ void add(const DecodeSum& other, float top) {
    const float factor = exp2_approx(other.max - top);
    weight = fmaf(factor, other.weight, weight);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      y[c].x = fmaf(factor, other.y[c].x, y[c].x);
      y[c].y = fmaf(factor, other.y[c].y, y[c].y);
    }
  }
};

template <int kColumns, int kCount>
__device__ __forceinline__ DecodeSum<kColumns> add_up(const DecodeSum<kColumns> (&parts)[kCount]) {
  DecodeSum<kColumns> sum;
  float top[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) top[i] = parts[i].max;
#pragma unroll
  for (int step = 1; step < kCount; step *= 2)
#pragma unroll
    for (int i = 0; i + step < kCount; i += 2 * step) top[i] = fmaxf(top[i], top[i + step]);
  sum.max = top[0];
#pragma unroll
  for (int i = 0; i < kCount; ++i) sum.add(parts[i], sum.max);
  return sum;
}

// A warp's tiles, one after the other.
template <class Traits>
struct DecodeWorker {
  using T = typename Traits::Type;
  static constexpr int kUnits = Traits::kUnits, kColumns = Traits::kColumns;

  DecodeUnit<Traits> unit[kUnits];
  float max = DecodeSum<kColumns>::kLowest;  // of head lane / 4
  float y[4 * kColumns][4] = {};             // as of multiply_values(); of heads 2 * (lane % 4) and the next
  float weight[4] = {};                      // their weights, in [0] and [1]

  // With their bias: the newest key is at a distance of 0, the tile's first of `left`, those of the next unit
  // of `stride` less.
  __device__ __forceinline__ void find_scores(const DecodeQuery<Traits::kSteps>& q, float scale,
                                              float bias_slope, int left, int stride,
                                              float (&score)[kUnits][2][2]) const {
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
#pragma unroll
      for (int j = 0; j < 2; ++j) multiply_keys<T>(q, unit[u].k[j], score[u][j]);
      const int seen = left - u * stride - static_cast<int>(threadIdx.x % 4);  // from the lane's first key on
      const float bias = bias_slope * static_cast<float>(-seen);
#pragma unroll
      for (int j = 0; j < 2; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          score[u][j][i] =
              8 * j + 4 * i < seen
                  ? fmaf(score[u][j][i], scale, fmaf(bias_slope, static_cast<float>(8 * j + 4 * i), bias))
                  : -INFINITY;
    }
  }

  // The same of kAny; `skip`: keys of the tile's first unit that are not seen.
  __device__ __forceinline__ void find_scores(const DecodeQuery<Traits::kSteps>& q, float scale,
                                              const AnyScore& any, int left, int stride, int skip,
                                              float (&score)[kUnits][2][2]) const {
    const int t = static_cast<int>(threadIdx.x % 4);
    const auto each = [&](auto&& change) {
#pragma unroll
      for (int u = 0; u < kUnits; ++u)
#pragma unroll
        for (int j = 0; j < 2; ++j)
#pragma unroll
          for (int i = 0; i < 2; ++i) change(score[u][j][i], u * stride + t + 8 * j + 4 * i - left);
    };
#pragma unroll
    for (int u = 0; u < kUnits; ++u)
#pragma unroll
      for (int j = 0; j < 2; ++j) multiply_keys<T>(q, unit[u].k[j], score[u][j]);
    each([&](float& x, int) { x *= scale; });
    any.finish(each);
    each([&](float& x, int distance) {
      if (distance >= 0 || distance + left < skip) x = -INFINITY;
    });
  }

  // Turns scores into weights, and what was summed up before to the new maximum.
  __device__ __forceinline__ void weigh(float (&score)[kUnits][2][2], uint32_t (&p)[kUnits][2], bool first) {
    float top = max;
#pragma unroll
    for (int u = 0; u < kUnits; ++u)
#pragma unroll
      for (int j = 0; j < 2; ++j) top = fmaxf(top, fmaxf(score[u][j][0], score[u][j][1]));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
    top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
#pragma unroll
    for (int u = 0; u < kUnits; ++u)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        p[u][j] = pack_pair<T>(exp2_approx(score[u][j][0] - top), exp2_approx(score[u][j][1] - top));
    if (!first) {
      const float shrink = exp2_approx(max - top);
      float of[2] = {shrink, shrink};
      if constexpr (Traits::kGrouped) {
        const int lane = static_cast<int>(threadIdx.x % 4 * 8);
        of[0] = __shfl_sync(~0u, shrink, lane);
        of[1] = __shfl_sync(~0u, shrink, lane + 4);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weight[i] *= of[i % 2];
#pragma unroll
        for (int m = 0; m < 4 * kColumns; ++m) y[m][i] *= of[i % 2];
      }
    }
    max = top;
  }

  // The weights' sum comes from the tensor cores, too: of weights as they were rounded, and without shuffles.
  __device__ __forceinline__ void add(int u, const uint32_t (&p)[2]) {
    const uint32_t one = pack_pair<T>(1.0f, 1.0f);
    multiply_values<T>(unit[u].v, p[0], p[1], y);
    multiply_add<T>(weight, {one, one, one, one}, p[0], p[1]);
  }

  // Of the lane's eighth of columns 64c and on, the i-th column of head 2 * (lane % 4) + h.
  __device__ __forceinline__ float column(int c, int i, int h) const {
    return y[4 * c + i / 2][i % 2 * 2 + h];
  }

  __device__ __forceinline__ void write(float* shared, int warp, int lane) const {
    const int g = lane / 4, t = lane % 4;
    float* to = shared + Traits::kValues + warp * (Traits::kHeads * Traits::kPitch) + 8 * decode_order(g);
#pragma unroll
    for (int h = 0; h < (Traits::kGrouped ? 2 : 1); ++h) {
      if (!Traits::kGrouped && t != 0) break;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        float* at = to + (2 * t + h) * Traits::kPitch + 64 * c;
        *reinterpret_cast<float4*>(at) = {column(c, 0, h), column(c, 1, h), column(c, 2, h), column(c, 3, h)};
        *reinterpret_cast<float4*>(at + 4) = {column(c, 4, h), column(c, 5, h), column(c, 6, h),
                                              column(c, 7, h)};
      }
    }
    if constexpr (Traits::kGrouped) {
      if (t == 0) shared[Traits::kMax + g * kDecodeWarps + warp] = max;
      if (g == 0) {
        shared[Traits::kSum + (2 * t) * kDecodeWarps + warp] = weight[0];
        shared[Traits::kSum + (2 * t + 1) * kDecodeWarps + warp] = weight[1];
      }
    } else if (lane == 0) {
      shared[Traits::kMax + warp] = max;
      shared[Traits::kSum + warp] = weight[0];
    }
  }
};

}  // namespace bolide::cuda
