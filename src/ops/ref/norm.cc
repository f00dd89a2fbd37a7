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
  std::vector<double> y = norm_rows(x, args.norm);
  const int64_t hidden = args.x.shape[1];
  for (int64_t i = 0; i < std::ssize(y) && args.accumulate; ++i)
    y[static_cast<size_t>(i)] += element(args.y, i / hidden, i % hidden);
  return y;
}

std::vector<double> head_norm(const HeadNormArgs& args) {
  std::vector<double> y;
  const auto norm = [&](const View& x, const Norm& norm, int64_t which) {
    const int64_t width = x.shape[1], each = args.head_size > 0 ? args.head_size : width;
    for (int64_t t = 0; t < x.shape[0]; ++t) {
      for (int64_t begin = 0; begin < width; begin += each) {
        double mean = 0, squares = 0;
        for (int64_t i = begin; i < begin + each && !norm.rms; ++i) mean += element(x, t, i);
        mean /= static_cast<double>(each);
        for (int64_t i = begin; i < begin + each; ++i) squares += std::pow(element(x, t, i) - mean, 2);
        squares /= static_cast<double>(each);
        if (!args.squares.empty())
          squares = element(args.squares, t, which) / static_cast<double>(each * args.ranks);
        for (int64_t i = begin; i < begin + each; ++i) {
          const int64_t at = norm.weight.shape[0] == width ? i : i - begin;
          const double normal = (element(x, t, i) - mean) / std::sqrt(squares + norm.eps);
          y.push_back(normal * element(norm.weight, at, 0) + (norm.rms ? 0 : element(norm.bias, at, 0)));
        }
      }
    }
  };
  norm(args.q, args.q_norm, 0);
  norm(args.k, args.k_norm, 1);
  return y;
}

std::vector<double> row_squares(const RowSquaresArgs& args) {
  std::vector<double> y;
  for (int64_t t = 0; t < args.q.shape[0]; ++t) {
    for (const View* x : {&args.q, &args.k}) {
      double sum = 0;
      for (int64_t i = 0; i < x->shape[1]; ++i) sum += std::pow(element(*x, t, i), 2);
      y.push_back(sum);
    }
  }
  return y;
}

std::vector<double> soft_cap(const SoftCapArgs& args) {
  std::vector<double> y;
  for (const double x : elements(args.x))
    y.push_back(std::isfinite(x) ? args.cap * std::tanh(x / args.cap) : x);
  return y;
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
