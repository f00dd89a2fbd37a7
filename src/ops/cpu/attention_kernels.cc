// The row kernels of attention.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/attention_kernels.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include <algorithm>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const f16* from) {
  const hn::Rebind<hwy::float16_t, D> half;
  const auto value = hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
  if constexpr (HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2) {
    // Without F16C Highway makes numbers of infinities and NaN: their exponent is put right.
    const hn::RebindToUnsigned<D> bits;
    const hn::Rebind<uint16_t, D> half_bits;
    const auto raw = hn::PromoteTo(bits, hn::LoadU(half_bits, reinterpret_cast<const uint16_t*>(from)));
    const auto exponent = hn::Set(bits, 0x7C00);
    const auto not_finite = hn::Eq(hn::And(raw, exponent), exponent);
    const auto right = hn::Or(hn::BitCast(bits, value), hn::Set(bits, 0x7F800000));
    return hn::BitCast(d, hn::IfThenElse(not_finite, right, hn::BitCast(bits, value)));
  }
  return value;
}
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const bf16* from) {
  const hn::Rebind<uint16_t, D> half;
  const hn::RebindToUnsigned<D> bits;
  const auto top = hn::PromoteTo(bits, hn::LoadU(half, reinterpret_cast<const uint16_t*>(from)));
  return hn::BitCast(d, hn::ShiftLeft<16>(top));
}

// The widest vector that divides the head size, so that no element needs a tail: 16 lanes for nearly every
// model, 4 or 1 for odd ones.
template <class F>
HWY_INLINE void with_lanes(int64_t head_size, F&& f) {
  const hn::CappedTag<float, 16> wide;
  const hn::CappedTag<float, 4> four;
  if (head_size % static_cast<int64_t>(hn::Lanes(wide)) == 0) {
    f(wide);
  } else if (head_size % static_cast<int64_t>(hn::Lanes(four)) == 0) {
    f(four);
  } else {
    f(hn::CappedTag<float, 1>());
  }
}

// Rows lie in pages anywhere in memory, where the hardware sees no stream: each is fetched this many rows
// ahead. Worth 20 % where 16-bit keys and values come from DRAM.
constexpr int64_t kRowsAhead = 12;
HWY_INLINE void fetch(const std::byte* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) hwy::Prefetch(from + at);
}

// Four keys at a time: four chains of multiply-adds, and q is loaded once for all.
template <class T, class D>
void dot_keys_of(D d, const float* q, const std::byte* const* keys, int64_t count, int64_t size,
                 float* scores) {
  using V = hn::Vec<D>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < count; j += 4) {
    const T* key[4];
    for (int64_t i = 0; i < 4; ++i)
      key[i] = reinterpret_cast<const T*>(keys[j + i < count ? j + i : count - 1]);
    for (int64_t i = j + kRowsAhead; i < j + kRowsAhead + 4 && i < count; ++i)
      fetch(keys[i], size * static_cast<int64_t>(sizeof(T)));
    V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    for (int64_t i = 0; i < size; i += lanes) {
      const V x = hn::LoadU(d, q + i);
      s0 = hn::MulAdd(x, load(d, key[0] + i), s0);
      s1 = hn::MulAdd(x, load(d, key[1] + i), s1);
      s2 = hn::MulAdd(x, load(d, key[2] + i), s2);
      s3 = hn::MulAdd(x, load(d, key[3] + i), s3);
    }
    const float sums[4] = {hn::GetLane(hn::SumOfLanes(d, s0)), hn::GetLane(hn::SumOfLanes(d, s1)),
                           hn::GetLane(hn::SumOfLanes(d, s2)), hn::GetLane(hn::SumOfLanes(d, s3))};
    for (int64_t i = 0; i < 4 && j + i < count; ++i) scores[j + i] = sums[i];
  }
}

template <class T, class D>
void add_values_of(D d, const float* weights, const std::byte* const* values, int64_t count, int64_t size,
                   float rescale, float* sum) {
  using V = hn::Vec<D>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V factor = hn::Set(d, rescale);
  int64_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    float* to = sum + i;
    V s0 = hn::Mul(factor, hn::LoadU(d, to)), s1 = hn::Mul(factor, hn::LoadU(d, to + lanes));
    V s2 = hn::Mul(factor, hn::LoadU(d, to + 2 * lanes)), s3 = hn::Mul(factor, hn::LoadU(d, to + 3 * lanes));
    for (int64_t j = 0; j < count; ++j) {
      if (j + kRowsAhead < count)
        fetch(values[j + kRowsAhead] + i * static_cast<int64_t>(sizeof(T)),
              4 * lanes * static_cast<int64_t>(sizeof(T)));
      const T* value = reinterpret_cast<const T*>(values[j]) + i;
      const V weight = hn::Set(d, weights[j]);
      s0 = hn::MulAdd(weight, load(d, value), s0);
      s1 = hn::MulAdd(weight, load(d, value + lanes), s1);
      s2 = hn::MulAdd(weight, load(d, value + 2 * lanes), s2);
      s3 = hn::MulAdd(weight, load(d, value + 3 * lanes), s3);
    }
    hn::StoreU(s0, d, to);
    hn::StoreU(s1, d, to + lanes);
    hn::StoreU(s2, d, to + 2 * lanes);
    hn::StoreU(s3, d, to + 3 * lanes);
  }
  for (; i < size; i += lanes) {
    V s = hn::Mul(factor, hn::LoadU(d, sum + i));
    for (int64_t j = 0; j < count; ++j)
      s = hn::MulAdd(hn::Set(d, weights[j]), load(d, reinterpret_cast<const T*>(values[j]) + i), s);
    hn::StoreU(s, d, sum + i);
  }
}

void run_dot_keys(const float* q, const std::byte* const* keys, int64_t count, int64_t size, DType dtype,
                  float* scores) {
  dispatch_float(dtype, [&]<class T>() HWY_ATTR {
    with_lanes(size, [&](auto d) HWY_ATTR { dot_keys_of<T>(d, q, keys, count, size, scores); });
  });
}

void run_add_values(const float* weights, const std::byte* const* values, int64_t count, int64_t size,
                    DType dtype, float rescale, float* sum) {
  dispatch_float(dtype, [&]<class T>() HWY_ATTR {
    with_lanes(size,
               [&](auto d) HWY_ATTR { add_values_of<T>(d, weights, values, count, size, rescale, sum); });
  });
}

// Scores with what few models have, from the vector of `from` on: the pass after it adds and scales no more.
void finish_scores(const SoftmaxRow& row, int64_t from) {
  const hn::CappedTag<float, 16> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V scale = hn::Set(d, row.scale), slope = hn::Set(d, row.slope), iota = hn::Iota(d, row.distance);
  const V two_by_cap = hn::Set(d, row.soft_cap > 0 ? 2 / row.soft_cap : 0), cap = hn::Set(d, row.soft_cap);
  for (int64_t j = from; j < row.end; j += lanes) {
    const V distance = hn::Add(iota, hn::Set(d, static_cast<float>(j)));
    V score = hn::MulAdd(hn::LoadU(d, row.scores + j), scale, hn::Mul(slope, distance));
    if (row.relative) {
      alignas(64) float bias[16];
      for (int64_t i = 0; i < lanes; ++i)
        bias[i] = row.relative[std::clamp(static_cast<int64_t>(row.distance) + j + i, -row.far, row.far)];
      score = hn::Add(score, hn::LoadU(d, bias));
    }
    if (row.soft_cap > 0) {  // tanh(x) = 2 sigmoid(2 x) - 1, which has no NaN for one
      const V twice = hn::Add(cap, cap);
      const V capped = hn::MulSub(twice, sigmoid(d, hn::Mul(score, two_by_cap)), cap);
      score = hn::IfThenElse(hn::IsNaN(score), score, capped);
    }
    hn::StoreU(score, d, row.scores + j);
  }
}

// kFrom: begin may be over 0.
template <bool kFrom>
float softmax_row_of(const SoftmaxRow& row, float scale_by, float slope_by, SoftmaxState& state) {
  const hn::CappedTag<float, 16> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V scale = hn::Set(d, scale_by), slope = hn::Set(d, slope_by), lowest = hn::Set(d, -3.0e38f);
  const V iota = hn::Iota(d, 0), end = hn::Set(d, static_cast<float>(row.end));
  const V begin = hn::Set(d, static_cast<float>(row.begin));
  const int64_t from = kFrom ? row.begin / lanes * lanes : 0;
  // Keys that are not seen take part as -3e38, which exp turns into 0. The width is a multiple of the lanes.
  V max = lowest;
  for (int64_t j = from; j < row.end; j += lanes) {
    const V index = hn::Add(iota, hn::Set(d, static_cast<float>(j)));
    const V bias = hn::Mul(slope, hn::Add(index, hn::Set(d, row.distance)));
    const V score = hn::MulAdd(hn::LoadU(d, row.scores + j), scale, bias);
    V kept = hn::IfThenElse(hn::Lt(index, end), score, lowest);
    if constexpr (kFrom) kept = hn::IfThenElse(hn::Lt(index, begin), lowest, kept);
    max = hn::Max(max, kept);
    hn::StoreU(kept, d, row.scores + j);
  }
  const float block_max = hn::GetLane(hn::MaxOfLanes(d, max));
  const bool first = state.sum == 0;
  const float new_max = first || block_max > state.max ? block_max : state.max;
  const V offset = hn::Set(d, new_max);
  V sum = hn::Zero(d);
  int64_t j = from;
  for (; j < row.end; j += lanes) {
    const V weight = exp(d, hn::Sub(hn::LoadU(d, row.scores + j), offset));
    sum = hn::Add(sum, weight);
    hn::StoreU(weight, d, row.scores + j);
  }
  for (; j < row.width; j += lanes) hn::StoreU(hn::Zero(d), d, row.scores + j);
  if constexpr (kFrom) {
    for (j = 0; j < from; j += lanes) hn::StoreU(hn::Zero(d), d, row.scores + j);
  }
  const float rescale = first ? 0 : hn::GetLane(exp(d, hn::Set(d, state.max - new_max)));
  state.max = new_max;
  state.sum = state.sum * rescale + hn::GetLane(hn::SumOfLanes(d, sum));
  return rescale;
}

float run_softmax_row(const SoftmaxRow& row, SoftmaxState& state) {
  if (row.begin >= row.end) {
    std::fill_n(row.scores, row.width, 0.0f);
    return 1;
  }
  float scale = row.scale, slope = row.slope;
  if (row.relative || row.soft_cap > 0) {
    finish_scores(row, row.begin / 16 * 16);
    scale = 1, slope = 0;
  }
  return row.begin > 0 ? softmax_row_of<true>(row, scale, slope, state)
                       : softmax_row_of<false>(row, scale, slope, state);
}

void run_scale_row(float* x, int64_t count, float factor) {
  const hn::CappedTag<float, 16> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)), d, x + i);
  for (; i < count; ++i) x[i] *= factor;
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide::cpu {
HWY_EXPORT(run_dot_keys);
HWY_EXPORT(run_add_values);
HWY_EXPORT(run_softmax_row);
HWY_EXPORT(run_scale_row);
float softmax_row(const SoftmaxRow& row, SoftmaxState& state) {
  return HWY_DYNAMIC_DISPATCH(run_softmax_row)(row, state);
}
void dot_keys(const float* q, const std::byte* const* keys, int64_t count, int64_t head_size, DType dtype,
              float* scores) {
  HWY_DYNAMIC_DISPATCH(run_dot_keys)(q, keys, count, head_size, dtype, scores);
}
void add_values(const float* weights, const std::byte* const* values, int64_t count, int64_t head_size,
                DType dtype, float rescale, float* sum) {
  HWY_DYNAMIC_DISPATCH(run_add_values)(weights, values, count, head_size, dtype, rescale, sum);
}
void scale_row(float* x, int64_t count, float factor) {
  HWY_DYNAMIC_DISPATCH(run_scale_row)(x, count, factor);
}
}  // namespace bolide::cpu
#endif
