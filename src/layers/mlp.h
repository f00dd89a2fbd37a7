#pragma once

#include "layers/linear.h"

namespace bolide {

// down(activation(up(x))), this rank's share of the inner width; gated, down(activation(gate(x)) * up(x)).
struct Mlp {
  Linear up;    // [inter, hidden]; gated, [2 * inter, hidden]: rows gate | up
  Linear down;  // [hidden, inter]
  Activation activation = Activation::kGeluTanh;
  bool gated = false;

  // hidden [T, hidden] fp32 += the MLP of norm(hidden); an empty norm is none.
  void add_to(const Context& context, const Norm& norm, const View& hidden) const {
    Arena::Scope scope(*context.arena);
    const View inner = context.arena->take({hidden.rows(), down.weight.cols()}, context.activation);
    up.forward(context, hidden, norm, inner, activation, gated);
    down.add_to(context, inner, hidden);
  }
};

}  // namespace bolide
