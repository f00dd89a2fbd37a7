// Bias and activation on blocks of y that have just been written.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/epilogue.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include "hwy/highway.h"
#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// x P(X <= x) for a standard normal X, from erfc(z) = e^(-z^2) t q(t), t = 1 / (1 + z / 2): the coefficients
// interpolate erfcx(z) / t at Chebyshev nodes on [0, 9], error 9e-8 of the result, tail included.
HWY_INLINE V gelu_erf(D d, V x) {
  const V z = hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678f));
  const V t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(z, hn::Set(d, 0.5f), hn::Set(d, 1.0f)));
  V q = hn::Set(d, -0.058865346f);
  q = hn::MulAdd(q, t, hn::Set(d, 0.28371036f));
  q = hn::MulAdd(q, t, hn::Set(d, -0.4856653f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.27658144f));
  q = hn::MulAdd(q, t, hn::Set(d, -0.025764214f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.20237668f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.24317311f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.28236625f));
  q = hn::MulAdd(q, t, hn::Set(d, 0.28208694f));
  const V tail = hn::Mul(hn::Mul(hn::Mul(q, t), exp(d, hn::Neg(hn::Mul(z, z)))), hn::Set(d, 0.5f));
  const V below = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
  return hn::Mul(x, below);
}

template <Activation kActivation>
HWY_INLINE V activate(D d, V x) {
  if constexpr (kActivation == Activation::kGeluTanh) {
    // 0.5 (1 + tanh(u)) = sigmoid(2u), which does not cancel for negative u.
    const V cubic =
        hn::MulAdd(hn::Mul(x, x), hn::Set(d, 2 * 0.79788456f * 0.044715f), hn::Set(d, 2 * 0.79788456f));
    return hn::Mul(x, sigmoid(d, hn::Mul(x, cubic)));
  } else if constexpr (kActivation == Activation::kGeluErf) {
    return gelu_erf(d, x);
  } else if constexpr (kActivation == Activation::kRelu) {
    return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);  // Max() drops NaN
  } else if constexpr (kActivation == Activation::kSilu) {
    return hn::Mul(x, sigmoid(d, x));
  } else {
    return x;
  }
}

template <Activation kActivation>
void apply(float* y, int64_t stride, int64_t rows, int64_t columns, const float* bias) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t r = 0; r < rows; ++r, y += stride) {
    int64_t c = 0;
    for (; c + lanes <= columns; c += lanes) {
      V value = hn::LoadU(d, y + c);
      if (bias) value = hn::Add(value, hn::LoadU(d, bias + c));
      hn::StoreU(activate<kActivation>(d, value), d, y + c);
    }
    if (c == columns) continue;
    // The ragged right edge of the last panel, through a buffer so that it is computed by the same lanes.
    HWY_ALIGN float edge[16] = {};
    for (int64_t i = c; i < columns; ++i) edge[i - c] = y[i] + (bias ? bias[i] : 0.0f);
    hn::Store(activate<kActivation>(d, hn::Load(d, edge)), d, edge);
    for (int64_t i = c; i < columns; ++i) y[i] = edge[i - c];
  }
}

void run_epilogue(float* y, int64_t stride, int64_t rows, int64_t columns, const float* bias,
                  Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return apply<Activation::kNone>(y, stride, rows, columns, bias);
    case Activation::kGeluTanh:
      return apply<Activation::kGeluTanh>(y, stride, rows, columns, bias);
    case Activation::kGeluErf:
      return apply<Activation::kGeluErf>(y, stride, rows, columns, bias);
    case Activation::kRelu:
      return apply<Activation::kRelu>(y, stride, rows, columns, bias);
    case Activation::kSilu:
      return apply<Activation::kSilu>(y, stride, rows, columns, bias);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide::cpu {
HWY_EXPORT(run_epilogue);
void epilogue(float* y, int64_t stride, int64_t rows, int64_t columns, const float* bias,
              Activation activation) {
  if (!bias && activation == Activation::kNone) return;
  HWY_DYNAMIC_DISPATCH(run_epilogue)(y, stride, rows, columns, bias, activation);
}
}  // namespace bolide::cpu
#endif
