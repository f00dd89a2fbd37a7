#pragma once

#include "ops/matmul.h"

namespace bolide {

struct GateArgs {
  View x;  // [tokens, 2 * inner] fp32 or context.activation, gate | up; rows may be strided; may be
           // overwritten
  Activation activation = Activation::kSilu;
  View y;  // [tokens, inner] of x's dtype, rows may be strided; must not overlap x
};
// y = activation(gate) * up: the middle of a gated MLP (SwiGLU, GeGLU).
void gate(const Context& context, const GateArgs& args);

// A gated matmul as a product and then a gate, where no kernel does both: run(args) is the product, of all of
// W's rows and without activation.
template <class Run>
void gate_after_matmul(const Context& context, const MatmulArgs& args, int64_t rows_of_w, const Run& run) {
  Arena own(context.device);
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  MatmulArgs both = args;
  both.gated = false;
  both.activation = Activation::kNone;
  both.y = arena.take({args.y.shape[0], rows_of_w}, args.y.dtype);
  run(both);
  gate(context, {.x = both.y, .activation = args.activation, .y = args.y});
}

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void gate(const Context& context, const GateArgs& args);
}  // namespace cpu
namespace cuda {
void gate(const Context& context, const GateArgs& args);
}  // namespace cuda

}  // namespace bolide
