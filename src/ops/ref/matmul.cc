#include <cmath>

#include "ops/ref/element.h"
#include "ops/ref/ref.h"

namespace bolide::ref {
namespace {
double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluTanh:  // BLOOM's constant, not sqrt(2 / pi)
      return 0.5 * x * (1 + std::tanh(0.79788456 * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return x;
}
}  // namespace

std::vector<double> matmul(const MatmulArgs& args) {
  const PackedMatrix& w = *args.w;
  std::vector<double> y;
  std::vector<double> x;
  if (args.norm.weight.empty()) {
    for (int64_t t = 0; t < args.x.shape[0]; ++t)
      for (int64_t k = 0; k < w.cols; ++k) x.push_back(element(args.x, t, k));
  } else {
    x = layer_norm({.x = args.x, .norm = args.norm, .y = {}});
  }
  for (int64_t t = 0; t < args.x.shape[0]; ++t) {
    for (int64_t row = 0; row < w.rows; ++row) {
      double sum = args.bias.empty() ? 0 : element(args.bias, row, 0);
      if (args.accumulate) sum += element(args.y, t, row);
      for (int64_t k = 0; k < w.cols; ++k) sum += x[static_cast<size_t>(t * w.cols + k)] * element(w, row, k);
      y.push_back(activate(args.activation, sum));
    }
  }
  return y;
}

}  // namespace bolide::ref
