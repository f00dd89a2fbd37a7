#pragma once

#include "tensor/context.h"

namespace bolide {

// A layer norm's parameters: (x - mean) / sqrt(variance + eps) * weight + bias per row; biased variance, as
// torch.nn.LayerNorm.
struct Norm {
  View weight;  // [hidden] fp32
  View bias;    // [hidden] fp32
  float eps = 1e-5f;
};

struct LayerNormArgs {
  View x;  // [tokens, hidden] fp32, rows may be strided
  Norm norm;
  View y;  // [tokens, hidden] fp32 or context.activation, rows may be strided; may be x
};
// y = norm(x), computed in fp32.
void layer_norm(const Context& context, const LayerNormArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void layer_norm(const Context& context, const LayerNormArgs& args);
}  // namespace cpu
namespace cuda {
void layer_norm(const Context& context, const LayerNormArgs& args);
}  // namespace cuda

}  // namespace bolide
