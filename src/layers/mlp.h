#pragma once

#include "layers/linear.h"

namespace bolide {

// down(activation(up(x))), this rank's share of the inner width; gated, down(activation(gate(x)) * up(x)).
struct Mlp {
  Linear up;    // [inter, hidden]; gated, [2 * inter, hidden]: rows gate | up
  Linear down;  // [hidden, inter]
  Activation activation = Activation::kGeluTanh;
  bool gated = false;

  // [T, inter] in the context's arena: the inner values of norm(x); an empty norm is none.
  View inner(const Context& context, const Norm& norm, const View& x) const {
    const View values = context.arena->take({x.rows(), down.weight.cols()}, context.activation);
    up.forward(context, x, norm, values, activation, gated);
    return values;
  }
  // hidden [T, hidden] fp32 += after(the MLP of norm(hidden)); an empty norm is none.
  void add_to(const Context& context, const Norm& norm, const LayerNorm& after, const View& hidden) const {
    Arena::Scope scope(*context.arena);
    down.add_to(context, inner(context, norm, hidden), after, hidden);
  }
};

}  // namespace bolide
