#pragma once

#include "ops/matmul.h"

// How the kernels of a product find MatmulArgs::best: each block leaves what is largest among its columns,
// and a small kernel after them picks of these.
namespace bolide::cuda {

// Candidates as device/best.cuh packs them, [rows, stride] of which each row has `count`.
struct BestParts {
  uint64_t* data = nullptr;
  int count = 0, stride = 0;
};
// Of the arena: the caller has a Scope open until pick_best() is launched.
BestParts take_best_parts(const Context& context, int64_t rows, int count);
void pick_best(const Context& context, const BestParts& parts, const Best& best);

// Whether kernels that leave parts serve this: they add no bias.
inline bool leaves_best(const MatmulArgs& args) {
  return args.best.wanted() && args.bias.empty() && args.activation == Activation::kNone;
}

}  // namespace bolide::cuda
