// exp and what is made of it, for one Highway target.
#if defined(BOLIDE_OPS_CPU_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BOLIDE_OPS_CPU_SIMD_MATH_INL_H_
#undef BOLIDE_OPS_CPU_SIMD_MATH_INL_H_
#else
#define BOLIDE_OPS_CPU_SIMD_MATH_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {

// e^x with a relative error under 2e-7 for x in [-87, 88], 0 below, NaN for NaN: a weight that is not a
// number must show in what it is a part of. Nobody asks for more than 88.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V exp(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  const auto underflow = hn::Lt(x, hn::Set(d, -87.0f));
  // Not Max(), which drops NaN on most machines.
  x = hn::IfThenElse(underflow, hn::Set(d, -87.0f), x);
  // x = n ln2 + r, |r| <= ln2 / 2; ln2 in two parts, so that n ln2 is exact in the first.
  const auto n = hn::NearestInt(hn::Mul(x, hn::Set(d, 1.44269504f)));
  const V nf = hn::ConvertTo(d, n);
  V r = hn::NegMulAdd(nf, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(nf, hn::Set(d, -2.12194440e-4f), r);
  // Taylor to r^7: the next term is under 6e-9 of the result.
  V p = hn::Set(d, 1.0f / 5040);
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 720));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 120));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 24));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 6));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::MulAdd(hn::Mul(p, r), r, hn::Add(r, hn::Set(d, 1.0f)));
  const auto power = hn::ShiftLeft<23>(hn::Add(n, hn::Set(di, 127)));
  return hn::IfThenZeroElse(underflow, hn::Mul(p, hn::BitCast(d, power)));
}

// 1 / (1 + e^-x), for x under -80 as for -80: beyond, it would be subnormal, which costs hundreds of cycles.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V sigmoid(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp(d, hn::Min(hn::Neg(x), hn::Set(d, 80.0f)))));
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
