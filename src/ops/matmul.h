#pragma once

#include "ops/packed_matrix.h"

namespace bolide {

enum class Activation : uint8_t { kNone, kGeluTanh, kGeluErf, kRelu, kSilu };

struct MatmulArgs {
  View x;                 // [tokens, in] fp32, rows may be strided
  const PackedMatrix* w;  // [out, in]
  View bias;              // [out] fp32, or empty
  View y;                 // [tokens, out] fp32, rows may be strided; must not overlap x
  Activation activation = Activation::kNone;
};
// y = activation(x W^T + bias), accumulated in fp32. With bf16 weights x may be rounded to bf16 first (where
// that is what the hardware multiplies); fp32 and fp16 weights meet unrounded x. The result of a row does not
// depend on the other rows beyond which kernel the row count selects, and is the same for every thread count.
void matmul(const Context& context, const MatmulArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void matmul(const Context& context, const MatmulArgs& args);
}  // namespace cpu
namespace cuda {
void matmul(const Context& context, const MatmulArgs& args);
}  // namespace cuda

}  // namespace bolide
