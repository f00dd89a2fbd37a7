#include <cmath>

#include "ops/ref/element.h"
#include "ops/ref/parallel.h"
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
// Gate and up as two products, each by half of W's rows.
std::vector<double> gated(const MatmulArgs& args) {
  const PackedMatrix& w = *args.w;
  const int64_t tokens = args.x.shape[0], inner = w.rows / 2;
  const std::vector<double> x =
      args.norm.weight.empty() ? elements(args.x) : layer_norm({.x = args.x, .norm = args.norm, .y = {}});
  std::vector<double> y(static_cast<size_t>(tokens * inner));
  for_each(inner, 2 * tokens * inner * w.cols, [&](int64_t row) {
    const std::vector<double> gate = row_of(w, row), up = row_of(w, inner + row);
    for (int64_t t = 0; t < tokens; ++t) {
      double gates = args.bias.empty() ? 0 : element(args.bias, row, 0);
      double ups = args.bias.empty() ? 0 : element(args.bias, inner + row, 0);
      const double* row_of_x = x.data() + static_cast<size_t>(t) * gate.size();
      gates += dot(row_of_x, gate.data(), gate.size());
      ups += dot(row_of_x, up.data(), up.size());
      y[static_cast<size_t>(t * inner + row)] = activate(args.activation, gates) * ups;
    }
  });
  return y;
}
}  // namespace

std::vector<double> matmul(const MatmulArgs& args) {
  if (args.gated) return gated(args);
  const PackedMatrix& w = *args.w;
  const int64_t tokens = args.x.shape[0];
  const std::vector<double> x =
      args.norm.weight.empty() ? elements(args.x) : layer_norm({.x = args.x, .norm = args.norm, .y = {}});
  std::vector<double> y(static_cast<size_t>(tokens * w.rows));
  for_each(w.rows, tokens * w.rows * w.cols, [&](int64_t row) {
    const std::vector<double> weights = row_of(w, row);
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = args.bias.empty() ? 0 : element(args.bias, row, 0);
      if (args.accumulate) sum += element(args.y, t, row);
      sum += dot(x.data() + static_cast<size_t>(t) * weights.size(), weights.data(), weights.size());
      y[static_cast<size_t>(t * w.rows + row)] = activate(args.activation, sum);
    }
  });
  return y;
}

std::vector<double> gate(const GateArgs& args) {
  const int64_t inner = args.y.shape[1];
  std::vector<double> y;
  for (int64_t t = 0; t < args.y.shape[0]; ++t)
    for (int64_t i = 0; i < inner; ++i)
      y.push_back(activate(args.activation, element(args.x, t, i)) * element(args.x, t, inner + i));
  return y;
}

}  // namespace bolide::ref
