#pragma once

#include "ops/norm.h"

namespace bolide {

struct LayerNorm {
  Tensor weight, bias;  // [hidden]
  float eps = 1e-5f;

  LayerNormArgs args(const View& x, const View& y) const {
    return {.x = x, .weight = weight, .bias = bias, .y = y, .eps = eps};
  }
  void forward(const Context& context, const View& x, const View& y) const {
    layer_norm(context, args(x, y));
  }
};

}  // namespace bolide
