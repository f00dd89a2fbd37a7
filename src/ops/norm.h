#pragma once

#include "tensor/context.h"

namespace bolide {

// A norm's parameters, for each row of x. A layer norm is (x - mean) / sqrt(variance + eps) * weight + bias,
// with the biased variance, as torch.nn.LayerNorm; an RMS norm is x / sqrt(mean of squares + eps) * weight.
struct Norm {
  View weight;  // [hidden] fp32
  View bias;    // [hidden] fp32; of an RMS norm empty
  float eps = 1e-5f;
  bool rms = false;
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
