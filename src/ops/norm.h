#pragma once

#include "tensor/context.h"

namespace bolide {

struct LayerNormArgs {
  View x;       // [tokens, hidden] fp32
  View weight;  // [hidden] fp32
  View bias;    // [hidden] fp32
  View y;       // [tokens, hidden] fp32; may be x
  float eps = 1e-5f;
};
// y = (x - mean) / sqrt(variance + eps) * weight + bias per row; biased variance, as torch.nn.LayerNorm.
void layer_norm(const Context& context, const LayerNormArgs& args);

struct AddNormArgs {
  View residual;  // [tokens, hidden] fp32
  View delta;     // [tokens, hidden] fp32: what the sublayer made
  View sum;       // [tokens, hidden] fp32 = residual + delta; may be residual or delta
  LayerNormArgs
      norm;  // norm.x is ignored: the norm reads `sum`. norm.y may be residual (a row's sum is complete
             // before its norm is written), but not sum or delta; an empty norm.y means the sum only
};
// The step between two sublayers, one pass over memory: sum = residual + delta, y = layer_norm(sum).
void add_norm(const Context& context, const AddNormArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void layer_norm(const Context& context, const LayerNormArgs& args);
void add_norm(const Context& context, const AddNormArgs& args);
}  // namespace cpu
namespace cuda {
void layer_norm(const Context& context, const LayerNormArgs& args);
void add_norm(const Context& context, const AddNormArgs& args);
}  // namespace cuda

}  // namespace bolide
