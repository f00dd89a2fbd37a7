#pragma once

#include "comm/communicator.h"
#include "layers/norm.h"
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
  // The same of norm(the ranks' sum); an empty norm is none. With a norm there is no bias.
  void add_to(const Context& context, const View& x, const LayerNorm& norm, const View& y) const {
    if (norm.weight.empty()) return add_to(context, x, y);
    BOLIDE_CHECK(bias.empty());
    Arena::Scope scope(*context.arena);
    const View sum = context.arena->take(y.shape, DType::kF32);
    weight->matmul(context, {.x = x, .y = sum});
    all_reduce(context, sum);
    norm.add_to(context, sum, y);
  }
};

}  // namespace bolide
