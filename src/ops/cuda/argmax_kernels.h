#pragma once

#include "ops/matmul.h"

// How the kernels of a product find MatmulArgs::argmax: each block leaves what is largest among its columns,
// and a small kernel after them picks of these.
namespace bolide::cuda {

// Candidates as device/argmax.cuh packs them, [rows, stride] of which each row has `count`.
struct ArgmaxParts {
  uint64_t* data = nullptr;
  int count = 0, stride = 0;
};
// Of the arena: the caller has a Scope open until pick_argmax() is launched.
ArgmaxParts take_argmax_parts(const Context& context, int64_t rows, int count);
void pick_argmax(const Context& context, const ArgmaxParts& parts, const Argmax& argmax);

// Whether kernels that leave parts serve this: they add no bias.
inline bool leaves_argmax(const MatmulArgs& args) {
  return args.argmax.wanted() && args.bias.empty() && args.activation == Activation::kNone;
}

}  // namespace bolide::cuda
