#include "ops/norm.h"

#include <cmath>

#include "ops/cpu/parallel.h"

namespace bolide::cpu {
namespace {
void norm_row(const float* x, const LayerNormArgs& args, int64_t hidden, float* y) {
  double mean = 0, variance = 0;
  for (int64_t i = 0; i < hidden; ++i) mean += x[i];
  mean /= static_cast<double>(hidden);
  for (int64_t i = 0; i < hidden; ++i) variance += (x[i] - mean) * (x[i] - mean);
  variance /= static_cast<double>(hidden);
  const double scale = 1 / std::sqrt(variance + args.eps);
  const float *weight = args.weight.as<float>(), *bias = args.bias.as<float>();
  for (int64_t i = 0; i < hidden; ++i) y[i] = static_cast<float>((x[i] - mean) * scale) * weight[i] + bias[i];
}
}  // namespace

void layer_norm(const Context& context, const LayerNormArgs& args) {
  parallel_ranges(context, args.x.shape[0], [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      norm_row(args.x.as<float>() + t * args.x.row_stride, args, args.x.shape[1],
               args.y.as<float>() + t * args.y.row_stride);
    }
  });
}

void add_norm(const Context& context, const AddNormArgs& args) {
  const int64_t hidden = args.sum.shape[1];
  parallel_ranges(context, args.sum.shape[0], [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* a = args.residual.as<float>() + t * args.residual.row_stride;
      const float* b = args.delta.as<float>() + t * args.delta.row_stride;
      float* sum = args.sum.as<float>() + t * args.sum.row_stride;
      for (int64_t i = 0; i < hidden; ++i) sum[i] = a[i] + b[i];
      if (args.norm.y.empty()) continue;
      norm_row(sum, args.norm, hidden, args.norm.y.as<float>() + t * args.norm.y.row_stride);
    }
  });
}

}  // namespace bolide::cpu
