#pragma once

#include "ops/norm.h"
#include "ops/packed_matrix.h"

namespace bolide {

enum class Activation : uint8_t { kNone, kGeluTanh, kGeluErf, kRelu, kSilu };

// Scratch that a product of many rows may take on a GPU, beside a normed copy of x: what Hopper's largest
// split-K plans want.
inline constexpr int64_t kMatmulWorkspaceBytes = int64_t{32} << 20;

struct MatmulArgs {
  View x;                           // [tokens, in] fp32 or context.activation, rows may be strided
  const PackedMatrix* w = nullptr;  // [out, in]
  View bias = {};                   // [out] of y's dtype, or empty
  View y;  // [tokens, out] fp32 or context.activation, rows may be strided; must not overlap x
  Activation activation = Activation::kNone;
  // With a weight: x, then fp32, passes through this norm first. (For few rows a GPU does it in the
  // prologue.)
  Norm norm = {};
  bool accumulate = false;  // y, then fp32, += instead of =; without activation
};
// y = activation(norm(x) W^T + bias), accumulated in fp32. On a GPU x meets fp16 or bf16 weights as the
// weights' type. On a CPU x may be rounded to bf16 to meet bf16 weights (where that is what the hardware
// multiplies); fp32 and fp16 weights meet unrounded x. The result of a row does not depend on the other rows
// beyond which kernel the row count selects, and is the same for every thread count.
void matmul(const Context& context, const MatmulArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void matmul(const Context& context, const MatmulArgs& args);
}  // namespace cpu
namespace cuda {
void matmul(const Context& context, const MatmulArgs& args);
}  // namespace cuda

}  // namespace bolide
