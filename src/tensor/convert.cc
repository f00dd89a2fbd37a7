// convert_elements: gigabytes pass through it while a checkpoint is loaded or converted.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/convert.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include <algorithm>
#include <cstring>

#include "hwy/highway.h"
#include "tensor/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace bolide {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

HWY_INLINE V widen(const f16* from) {
  return hn::PromoteTo(
      D(), hn::LoadU(hn::Rebind<hwy::float16_t, D>(), reinterpret_cast<const hwy::float16_t*>(from)));
}
HWY_INLINE V widen(const bf16* from) {
  const hn::RebindToUnsigned<D> bits;
  const auto half = hn::LoadU(hn::Rebind<uint16_t, D>(), reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(bits, half)));
}
HWY_INLINE V widen(const float* from) { return hn::LoadU(D(), from); }

HWY_INLINE void narrow(V value, float* to) { hn::StoreU(value, D(), to); }
HWY_INLINE void narrow(V value, f16* to) {
  const hn::Rebind<hwy::float16_t, D> half;
  hn::StoreU(hn::DemoteTo(half, value), half, reinterpret_cast<hwy::float16_t*>(to));
}
HWY_INLINE void narrow(V value, bf16* to) {
  const hn::RebindToUnsigned<D> wide;
  const hn::Rebind<uint16_t, D> half;
  const auto bits = hn::BitCast(wide, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(wide, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(wide, 0x7FFF)));
  const auto quiet = hn::Or(bits, hn::Set(wide, 0x400000));  // a NaN stays one
  const auto nan = hn::RebindMask(wide, hn::IsNaN(value));
  const auto top = hn::ShiftRight<16>(hn::IfThenElse(nan, quiet, rounded));
  hn::StoreU(hn::DemoteTo(half, hn::BitCast(hn::RebindToSigned<D>(), top)), half,
             reinterpret_cast<uint16_t*>(to));
}

template <class From, class To>
void convert(const From* from, To* to, size_t count) {
  const size_t lanes = hn::Lanes(D());
  size_t i = 0;
  // Highway's emulation of fp16, which x86 needs below AVX2, drops the bits that do not fit, and makes
  // numbers of infinities and NaN.
  constexpr bool kHasF16 =
      HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128 && (!HWY_ARCH_X86 || HWY_TARGET <= HWY_AVX2);
  if constexpr (kHasF16 || (!std::is_same_v<To, f16> && !std::is_same_v<From, f16>)) {
    for (; i + lanes <= count; i += lanes) narrow(widen(from + i), to + i);
  }
  for (; i < count; ++i) to[i] = from_float<To>(to_float(from[i]));
}

void convert_floats(const void* src, DType src_dtype, void* dst, DType dst_dtype, size_t count) {
  dispatch_float(src_dtype, [&]<class From>() HWY_ATTR {
    dispatch_float(dst_dtype, [&]<class To>() HWY_ATTR {
      convert(static_cast<const From*>(src), static_cast<To*>(dst), count);
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide {
HWY_EXPORT(convert_floats);

void convert_elements(const void* src, DType src_dtype, void* dst, DType dst_dtype, size_t count) {
  if (src_dtype == dst_dtype) {
    if (count) std::memcpy(dst, src, count * size_of(src_dtype));
    return;
  }
  if (src_dtype != DType::kF64) {
    HWY_DYNAMIC_DISPATCH(convert_floats)(src, src_dtype, dst, dst_dtype, count);
    return;
  }
  constexpr size_t kBlock = 256;
  float block[kBlock];
  const double* from = static_cast<const double*>(src);
  for (size_t i = 0; i < count; i += kBlock) {
    const size_t n = std::min(kBlock, count - i);
    std::transform(from + i, from + i + n, block, [](double x) { return static_cast<float>(x); });
    convert_elements(block, DType::kF32, static_cast<std::byte*>(dst) + i * size_of(dst_dtype), dst_dtype, n);
  }
}
}  // namespace bolide
#endif
