#include <cmath>

#include "ops/ref/element.h"
#include "ops/ref/ref.h"

namespace bolide::ref {

std::vector<double> norm_rows(const std::vector<double>& x, const Norm& norm) {
  const int64_t hidden = norm.weight.shape[0];
  std::vector<double> y;
  for (size_t begin = 0; begin < x.size(); begin += static_cast<size_t>(hidden)) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < hidden && !norm.rms; ++i) mean += x[begin + static_cast<size_t>(i)];
    mean /= static_cast<double>(hidden);
    for (int64_t i = 0; i < hidden; ++i) variance += std::pow(x[begin + static_cast<size_t>(i)] - mean, 2);
    variance /= static_cast<double>(hidden);
    for (int64_t i = 0; i < hidden; ++i) {
      const double normal = (x[begin + static_cast<size_t>(i)] - mean) / std::sqrt(variance + norm.eps);
      y.push_back(normal * element(norm.weight, i, 0) + (norm.rms ? 0 : element(norm.bias, i, 0)));
    }
  }
  return y;
}

std::vector<double> layer_norm(const LayerNormArgs& args) {
  std::vector<double> x;
  for (int64_t t = 0; t < args.x.shape[0]; ++t)
    for (int64_t i = 0; i < args.x.shape[1]; ++i) x.push_back(element(args.x, t, i));
  return norm_rows(x, args.norm);
}

std::vector<double> add(const AddArgs& args) {
  std::vector<double> y;
  for (int64_t t = 0; t < args.y.shape[0]; ++t)
    for (int64_t i = 0; i < args.y.shape[1]; ++i)
      y.push_back(element(args.y, t, i) + element(args.x, t, i) +
                  (args.bias.empty() ? 0.0 : args.bias.as<float>()[i]));
  return y;
}

}  // namespace bolide::ref
