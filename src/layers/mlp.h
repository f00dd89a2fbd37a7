#pragma once

#include "layers/linear.h"

namespace bolide {

// down(activation(up(x))), this rank's share of the inner width.
struct Mlp {
  Linear up;    // [inter, hidden]
  Linear down;  // [hidden, inter]
  Activation activation = Activation::kGeluTanh;

  // y [T, hidden]; must not overlap x.
  void forward(const Context& context, const View& x, const View& y) const {
    Arena::Scope scope(*context.arena);
    const View inner = context.arena->take({x.rows(), up.weight.rows()}, DType::kF32);
    up.forward(context, x, inner, activation);
    down.forward(context, inner, y);
  }
};

}  // namespace bolide
