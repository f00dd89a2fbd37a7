#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/sample_kernels.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include <algorithm>
#include <cmath>
#include <limits>

#include "hwy/highway.h"
#include "ops/cpu/sample_kernels.h"
#include "ops/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

float run_row_max(const float* x, int64_t count) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  V a = hn::Set(d, x[0]), b = a;
  auto nan = hn::IsNaN(a);
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const V p = hn::LoadU(d, x + i), q = hn::LoadU(d, x + i + lanes);
    nan = hn::Or(nan, hn::Or(hn::IsNaN(p), hn::IsNaN(q)));
    a = hn::Max(a, p);
    b = hn::Max(b, q);
  }
  if (!hn::AllFalse(d, nan)) return kNan;
  // Not MaxOfLanes(): its emulation never returns minus infinity.
  HWY_ALIGN float last[16];
  hn::Store(hn::Max(a, b), d, last);
  float max = *std::max_element(last, last + lanes);
  for (; i < count; ++i) {
    if (std::isnan(x[i])) return kNan;
    max = std::max(max, x[i]);
  }
  return max;
}

int64_t run_find_value(const float* x, int64_t count, float value) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V wanted = hn::Set(d, value);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const intptr_t at = static_cast<intptr_t>(hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, x + i), wanted)));
    if (at >= 0) return i + at;
  }
  for (; i < count; ++i)
    if (x[i] == value) return i;
  return 0;
}

int64_t run_find_at_least(const float* x, int64_t count, float bound, int32_t* out) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V least = hn::Set(d, bound);
  int64_t found = 0, i = 0;
  const auto scan = [&](int64_t end) {
    for (; i < end; ++i) {
      out[found] = static_cast<int32_t>(i);
      found += x[i] >= bound;
    }
  };
  while (i + lanes <= count) {  // nearly all vectors hold none
    if (hn::AllFalse(d, hn::Ge(hn::LoadU(d, x + i), least))) {
      i += lanes;
    } else {
      scan(i + lanes);
    }
  }
  scan(count);
  return found;
}

void run_block_max(const float* x, int64_t blocks, int64_t size, float* out) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t b = 0; b < blocks; ++b, x += size) {
    V max = hn::LoadU(d, x);
    for (int64_t i = lanes; i < size; i += lanes) max = hn::Max(max, hn::LoadU(d, x + i));
    HWY_ALIGN float last[16];
    hn::Store(max, d, last);
    out[b] = *std::max_element(last, last + lanes);
  }
}

// Sums of 64 vectors in fp32, their sum in double: a lane that holds a weight of 1 may lose half an ulp,
// 3e-8, of each small one that comes after it.
double run_exp_row(const float* x, int64_t count, float max, float scale, float* out) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  scale = std::min(scale, 3e38f);  // 1 / a tiny temperature is infinite, and 0 * infinity NaN
  const V offset = hn::Set(d, max), factor = hn::Set(d, scale);
  double total = 0;
  int64_t i = 0;
  while (i + lanes <= count) {
    const int64_t end = std::min(count, i + 64 * lanes);
    V sum = hn::Zero(d);
    for (; i + lanes <= end; i += lanes) {
      const V weight = exp(d, hn::Mul(hn::Sub(hn::LoadU(d, x + i), offset), factor));
      sum = hn::Add(sum, weight);
      hn::StoreU(weight, d, out + i);
    }
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
  }
  for (; i < count; ++i) {
    out[i] = hn::GetLane(exp(d, hn::Set(d, (x[i] - max) * scale)));
    total += static_cast<double>(out[i]);
  }
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide::cpu {
HWY_EXPORT(run_row_max);
HWY_EXPORT(run_find_value);
HWY_EXPORT(run_exp_row);
HWY_EXPORT(run_find_at_least);
HWY_EXPORT(run_block_max);
float row_max(const float* x, int64_t count) { return HWY_DYNAMIC_DISPATCH(run_row_max)(x, count); }
int64_t find_value(const float* x, int64_t count, float value) {
  return HWY_DYNAMIC_DISPATCH(run_find_value)(x, count, value);
}
int64_t find_at_least(const float* x, int64_t count, float bound, int32_t* out) {
  return HWY_DYNAMIC_DISPATCH(run_find_at_least)(x, count, bound, out);
}
void block_max(const float* x, int64_t blocks, int64_t size, float* out) {
  HWY_DYNAMIC_DISPATCH(run_block_max)(x, blocks, size, out);
}
double exp_row(const float* x, int64_t count, float max, float scale, float* out) {
  return HWY_DYNAMIC_DISPATCH(run_exp_row)(x, count, max, scale, out);
}
}  // namespace bolide::cpu
#endif
