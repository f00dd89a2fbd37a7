#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/norm.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include <algorithm>
#include <cmath>

#include "hwy/highway.h"
#include "ops/add.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/parallel.h"
#include "ops/norm.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// Sums of x - center and of its square, in two chains each: the latency of an addition would otherwise be the
// time.
struct Sums {
  float first = 0, second = 0;
};
HWY_INLINE Sums sum_row(const float* x, int64_t count, float center) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const V shift = hn::Set(d, center);
  V a = hn::Zero(d), b = a, aa = a, bb = a;
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const V p = hn::Sub(hn::LoadU(d, x + i), shift), q = hn::Sub(hn::LoadU(d, x + i + lanes), shift);
    a = hn::Add(a, p);
    b = hn::Add(b, q);
    aa = hn::MulAdd(p, p, aa);
    bb = hn::MulAdd(q, q, bb);
  }
  Sums sums = {hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b))),
               hn::GetLane(hn::SumOfLanes(d, hn::Add(aa, bb)))};
  for (; i < count; ++i) {
    const float p = x[i] - center;
    sums.first += p;
    sums.second += p * p;
  }
  return sums;
}

// As norm_row(), about 0 and without a bias.
void rms_norm_row(const float* x, const float* weight, float eps, int64_t hidden, float* y) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float scale = 1 / std::sqrt(sum_row(x, hidden, 0).second / static_cast<float>(hidden) + eps);
  const V factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= hidden; i += lanes)
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), factor), hn::LoadU(d, weight + i)), d, y + i);
  for (; i < hidden; ++i) y[i] = x[i] * scale * weight[i];
}

// Two passes over a row that the first-level cache holds. The second is taken about the first one's mean,
// whose rounding error it corrects: a mean far from 0 costs no precision.
void norm_row(const float* x, const float* weight, const float* bias, float eps, int64_t hidden, float* y) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float count = static_cast<float>(hidden);
  const float rough = sum_row(x, hidden, 0).first / count;
  const Sums about = sum_row(x, hidden, rough);
  const float correction = about.first / count, mean = rough + correction;
  const float variance = about.second / count - correction * correction;
  const float scale = 1 / std::sqrt(std::max(variance, 0.0f) + eps);
  const V center = hn::Set(d, mean), factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + lanes <= hidden; i += lanes) {
    const V normal = hn::Mul(hn::Sub(hn::LoadU(d, x + i), center), factor);
    hn::StoreU(hn::MulAdd(normal, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d, y + i);
  }
  for (; i < hidden; ++i) y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

// y += x + bias; bias may be null.
void add_row(const float* x, const float* bias, int64_t count, float* y) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V more = hn::LoadU(d, x + i);
    const V biased = bias ? hn::Add(more, hn::LoadU(d, bias + i)) : more;
    hn::StoreU(hn::Add(hn::LoadU(d, y + i), biased), d, y + i);
  }
  for (; i < count; ++i) y[i] += bias ? x[i] + bias[i] : x[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide::cpu {
HWY_EXPORT(norm_row);
HWY_EXPORT(rms_norm_row);
HWY_EXPORT(add_row);
namespace {
float* row(const View& view, int64_t r) { return static_cast<float*>(view.data) + r * view.row_stride; }

}  // namespace

void layer_norm(const Context& context, const LayerNormArgs& args) {
  isa();
  parallel_ranges(
      for_light_work(context, args.x.shape.count()), args.x.shape[0], [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          if (args.norm.rms) {
            HWY_DYNAMIC_DISPATCH(rms_norm_row)
            (row(args.x, r), row(args.norm.weight, 0), args.norm.eps, args.x.shape[1], row(args.y, r));
            continue;
          }
          HWY_DYNAMIC_DISPATCH(norm_row)
          (row(args.x, r), row(args.norm.weight, 0), row(args.norm.bias, 0), args.norm.eps, args.x.shape[1],
           row(args.y, r));
        }
      });
}

void add(const Context& context, const AddArgs& args) {
  isa();
  parallel_ranges(
      for_light_work(context, args.x.shape.count()), args.x.shape[0], [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          HWY_DYNAMIC_DISPATCH(add_row)
          (row(args.x, r), static_cast<const float*>(args.bias.data), args.x.shape[1], row(args.y, r));
        }
      });
}

}  // namespace bolide::cpu
#endif
