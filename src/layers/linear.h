#pragma once

#include "quant/weight_format.h"

namespace bolide {

// y = activation(x W^T + b).
struct Linear {
  Weight weight;  // [out, in]
  Tensor bias;    // [out], or empty

  void forward(const Context& context, const View& x, const View& y,
               Activation activation = Activation::kNone) const {
    weight.format->matmul(context, weight, x, bias, activation, y);
  }
};

}  // namespace bolide
