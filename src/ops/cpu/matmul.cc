#include "ops/matmul.h"

#include <cmath>

#include "ops/cpu/parallel.h"

namespace bolide::cpu {
namespace {
float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluTanh:
      return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::kGeluErf:
      return 0.5f * x * (1 + std::erf(x * 0.70710678f));
    case Activation::kRelu:
      return std::max(x, 0.0f);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return x;
}
}  // namespace

void matmul(const Context& context, const MatmulArgs& args) {
  constexpr int64_t kRows = PackedMatrix::kPanelRows;
  const PackedMatrix& w = *args.w;
  const int64_t tokens = args.x.shape[0];
  dispatch_float(w.dtype, [&]<class T>() {
    const T* data = w.data.as<T>();
    const int64_t g = PackedMatrix::group(w.dtype);
    parallel_ranges(context, w.panels(), [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel) {
        const T* rows = data + panel * w.panel_stride();
        const int64_t count = std::min(kRows, w.rows - panel * kRows);
        for (int64_t t = 0; t < tokens; ++t) {
          const float* x = args.x.as<float>() + t * args.x.row_stride;
          float sum[kRows] = {};
          for (int64_t k = 0; k < w.cols; ++k)
            for (int64_t r = 0; r < kRows; ++r)
              sum[r] += x[k] * to_float(rows[k / g * kRows * g + r * g + k % g]);
          float* y = args.y.as<float>() + t * args.y.row_stride + panel * kRows;
          for (int64_t r = 0; r < count; ++r) {
            const float bias = args.bias.empty() ? 0.0f : args.bias.as<float>()[panel * kRows + r];
            y[r] = activate(args.activation, sum[r] + bias);
          }
        }
      }
    });
  });
}

}  // namespace bolide::cpu
