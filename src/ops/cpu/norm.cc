#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/norm.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include <algorithm>
#include <cmath>
#include <vector>

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

float squares_of_row(const float* x, int64_t count) { return sum_row(x, count, 0).second; }

// As norm_row(), about 0 and without a bias; `mean` is of the squares.
void rms_norm_row(const float* x, const float* weight, float mean, float eps, int64_t hidden, float* y) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float scale = 1 / std::sqrt(mean + eps);
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
HWY_EXPORT(squares_of_row);
HWY_EXPORT(rms_norm_row);
HWY_EXPORT(add_row);
namespace {
float* row(const View& view, int64_t r) { return static_cast<float*>(view.data) + r * view.row_stride; }

float squares_of(const float* x, int64_t count) { return HWY_DYNAMIC_DISPATCH(squares_of_row)(x, count); }

// y = norm(x) of `count` elements, with parameters from `first` on; `mean`: of the squares, of an RMS norm.
void norm_elements(const float* x, const Norm& norm, int64_t first, int64_t count, float mean, float* y) {
  const float* weight = norm.weight.as<float>() + first;
  if (norm.rms) {
    HWY_DYNAMIC_DISPATCH(rms_norm_row)(x, weight, mean, norm.eps, count, y);
  } else {
    HWY_DYNAMIC_DISPATCH(norm_row)(x, weight, norm.bias.as<float>() + first, norm.eps, count, y);
  }
}
void norm_elements(const float* x, const Norm& norm, int64_t first, int64_t count, float* y) {
  const float mean = norm.rms ? squares_of(x, count) / static_cast<float>(count) : 0.0f;
  norm_elements(x, norm, first, count, mean, y);
}

}  // namespace

void layer_norm(const Context& context, const LayerNormArgs& args) {
  isa();
  const int64_t hidden = args.x.shape[1];
  parallel_ranges(
      for_light_work(context, args.x.shape.count()), args.x.shape[0], [&](int64_t begin, int64_t end) {
        std::vector<float> normed(args.accumulate ? static_cast<size_t>(hidden) : 0);
        for (int64_t r = begin; r < end; ++r) {
          float* y = row(args.y, r);
          norm_elements(row(args.x, r), args.norm, 0, hidden, args.accumulate ? normed.data() : y);
          if (args.accumulate) HWY_DYNAMIC_DISPATCH(add_row)(normed.data(), nullptr, hidden, y);
        }
      });
}

void head_norm(const Context& context, const HeadNormArgs& args) {
  isa();
  const auto norm_row = [&](const View& x, const Norm& norm, int64_t r, int64_t which) {
    const int64_t width = x.shape[1], each = args.head_size > 0 ? args.head_size : width;
    for (int64_t begin = 0; begin < width; begin += each) {
      float* head = row(x, r) + begin;
      const int64_t first = norm.weight.shape[0] == width ? begin : 0;
      if (args.squares.empty()) {
        norm_elements(head, norm, first, each, head);
      } else {
        const float mean = row(args.squares, r)[which] / static_cast<float>(width * args.ranks);
        norm_elements(head, norm, first, each, mean, head);
      }
    }
  };
  const int64_t tokens = args.q.shape[0];
  parallel_ranges(for_light_work(context, args.q.shape.count() + args.k.shape.count()), tokens,
                  [&](int64_t begin, int64_t end) {
                    for (int64_t r = begin; r < end; ++r) {
                      norm_row(args.q, args.q_norm, r, 0);
                      norm_row(args.k, args.k_norm, r, 1);
                    }
                  });
}

void row_squares(const Context& context, const RowSquaresArgs& args) {
  isa();
  parallel_ranges(for_light_work(context, args.q.shape.count() + args.k.shape.count()), args.q.shape[0],
                  [&](int64_t begin, int64_t end) {
                    for (int64_t r = begin; r < end; ++r) {
                      row(args.y, r)[0] = squares_of(row(args.q, r), args.q.shape[1]);
                      row(args.y, r)[1] = squares_of(row(args.k, r), args.k.shape[1]);
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
