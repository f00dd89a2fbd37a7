#pragma once

#include "ops/norm.h"

namespace bolide {

// A layer norm, or an RMS norm, which has no bias.
struct LayerNorm {
  Tensor weight, bias;  // [hidden]
  float eps = 1e-5f;
  bool rms = false;

  // For an op that takes the norm along.
  Norm norm() const { return {.weight = weight, .bias = bias, .eps = eps, .rms = rms}; }
  void forward(const Context& context, const View& x, const View& y) const {
    layer_norm(context, {.x = x, .norm = norm(), .y = y});
  }
  // y += norm(x), fp32.
  void add_to(const Context& context, const View& x, const View& y) const {
    layer_norm(context, {.x = x, .norm = norm(), .y = y, .accumulate = true});
  }
};

}  // namespace bolide
