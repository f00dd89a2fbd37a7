#pragma once

#include "ops/norm.h"
#include "ops/packed_matrix.h"

namespace bolide {

enum class Activation : uint8_t { kNone, kGeluTanh, kGeluErf, kRelu, kSilu };

// Scratch that a product of many rows may take on a GPU, beside a normed copy of x: what Hopper's largest
// split-K plans want.
inline constexpr int64_t kMatmulWorkspaceBytes = int64_t{32} << 20;
// Beside that, where weights are int8: cuBLASLt takes so much of them at a time as their x_dtype. More than a
// GPU's cache holds, so that its kernels have enough outputs to share.
inline constexpr int64_t kWidenedBytes = int64_t{64} << 20;

// The largest of each row of a product, for those who want no more of it.
struct Argmax {
  View values;        // [tokens, 1] fp32, out; rows may be strided
  View ids;           // [tokens, 1] int32, out: `begin` + its column, the lowest among equals
  int64_t begin = 0;  // the id of column 0
  bool wanted() const { return !ids.empty(); }
};

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
  // W [2 * out, in] has the rows of a gate and then those of an up, and bias [2 * out] likewise: y is
  // activation(gate) * up, the first half of a gated MLP. Neither accumulates nor with argmax.
  bool gated = false;
  // With it, y, then fp32 and not accumulated, is scratch that may or may not be written; the result is what
  // candidates() finds in it with a k of 1: what is not finite is of id kNoId. On a GPU products of
  // a head's size with few rows find it themselves (to the bit what is largest of the y that they would
  // write, where W has a multiple of 16 rows; else within rounding): without 64 MB of logits on their way
  // there and back for 64 rows of BLOOM's vocabulary.
  Argmax argmax = {};
};
// y = activation(norm(x) W^T + bias), or gated, accumulated in fp32. On a GPU x meets fp16 or bf16 weights as
// the weights' type (int8: as their x_dtype, to which with many rows these are rounded, too). On a CPU x may
// be rounded to bf16 to meet bf16 weights, or int8 ones of that x_dtype (where that is what the hardware
// multiplies); all others meet unrounded x. The result of a row does not depend on the other rows beyond
// which kernel the row count selects, and is the same for every thread count.
void matmul(const Context& context, const MatmulArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void matmul(const Context& context, const MatmulArgs& args);
}  // namespace cpu
namespace cuda {
// True if it has found args.argmax, too. Else that is to be found in y.
bool matmul(const Context& context, const MatmulArgs& args);
// Gated by the product's own kernel. False, having done nothing, where the gate has to come after it.
bool gated_matmul(const Context& context, const MatmulArgs& args);
}  // namespace cuda

}  // namespace bolide
