#pragma once

#include "layers/linear.h"

namespace bolide {

// down(activation(up(x))), this rank's share of the inner width.
struct Mlp {
  Linear up;    // [inter, hidden]
  Linear down;  // [hidden, inter]
  Activation activation = Activation::kGeluTanh;

  // hidden [T, hidden] fp32 += the MLP of norm(hidden); an empty norm is none.
  void add_to(const Context& context, const Norm& norm, const View& hidden) const {
    Arena::Scope scope(*context.arena);
    const View inner = context.arena->take({hidden.rows(), up.weight.rows()}, context.activation);
    up.forward(context, hidden, norm, inner, activation);
    down.add_to(context, inner, hidden);
  }
};

}  // namespace bolide
