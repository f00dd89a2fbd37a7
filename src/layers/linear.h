#pragma once

#include "comm/communicator.h"
#include "quant/weight_scheme.h"

namespace bolide {

struct Linear {
  Weight weight;  // [out, in]
  Tensor bias;    // [out], or empty: of context.activation for forward(), fp32 for add_to()

  // y [T, out] = activation(norm(x) W^T + b), y of context.activation; an empty norm is none. Gated as in
  // ops/matmul.h.
  void forward(const Context& context, const View& x, const Norm& norm, const View& y,
               Activation activation = Activation::kNone, bool gated = false) const {
    weight->matmul(context,
                   {.x = x, .bias = bias, .y = y, .activation = activation, .norm = norm, .gated = gated});
  }
  // Row-parallel: y [T, out] fp32 += the ranks' sum of x W^T + b.
  void add_to(const Context& context, const View& x, const View& y) const {
    if (!context.tensor_comm) {
      weight->matmul(context, {.x = x, .bias = bias, .y = y, .accumulate = true});
      return;
    }
    Arena::Scope scope(*context.arena);
    const View delta = context.arena->take(y.shape, context.activation);
    weight->matmul(context, {.x = x, .y = delta});
    context.tensor_comm->reduce_add(context, delta, bias, y);
  }
};

}  // namespace bolide
