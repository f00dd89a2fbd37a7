#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/soft_cap.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include <algorithm>

#include "hwy/highway.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/simd_math-inl.h"
#include "ops/soft_cap.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

void cap_row(float* x, int64_t count, float cap) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto change = [&](V value) {
    // tanh(u) = 2 sigmoid(2u) - 1: an error of 1e-7 of the cap.
    const V half = hn::Sub(sigmoid(d, hn::Mul(value, hn::Set(d, 2 / cap))), hn::Set(d, 0.5f));
    return hn::IfThenElse(hn::IsFinite(value), hn::Mul(half, hn::Set(d, 2 * cap)), value);
  };
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(change(hn::LoadU(d, x + i)), d, x + i);
  if (i == count) return;
  // Through a buffer, so that the last ones are computed by the same lanes.
  HWY_ALIGN float edge[16] = {};
  std::copy(x + i, x + count, edge);
  hn::Store(change(hn::Load(d, edge)), d, edge);
  std::copy(edge, edge + (count - i), x + i);
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide::cpu {
HWY_EXPORT(cap_row);

void soft_cap(const Context& context, const SoftCapArgs& args) {
  isa();
  // Blocks of columns, so that the one row of a decode step is work for several threads.
  constexpr int64_t kBlock = 4096;
  const int64_t columns = args.x.shape[1], blocks = (columns + kBlock - 1) / kBlock;
  parallel_ranges(for_light_work(context, 4 * args.x.shape.count()), args.x.shape[0] * blocks,
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) {
                      const int64_t column = i % blocks * kBlock;
                      HWY_DYNAMIC_DISPATCH(cap_row)
                      (args.x.as<float>() + i / blocks * args.x.row_stride + column,
                       std::min(kBlock, columns - column), args.cap);
                    }
                  });
}

}  // namespace bolide::cpu
#endif
