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

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void gate(const Context& context, const GateArgs& args);
}  // namespace cpu
namespace cuda {
void gate(const Context& context, const GateArgs& args);
}  // namespace cuda

}  // namespace bolide
