#pragma once

#include "ops/matmul.h"

// The two ways in which cuda::matmul() computes, both complete: it chooses by the number of rows.
namespace bolide::cuda {

// Rows up to which skinny_matmul() is made to be fast: it is bound by the stream of weights.
inline constexpr int64_t kSkinnyRows = 64;

// Own kernels, which read each weight once for up to kSkinnyRows rows of x (more rows: once for every
// kSkinnyRows). Any shape and dtype. The result of a row is the same, bit for bit, for every number of rows.
void skinny_matmul(const Context& context, const MatmulArgs& args);

// cuBLASLt, with bias, GELU (tanh) and accumulation in its epilogue; a norm before it and other activations
// after it are kernels of their own. For many rows.
void library_matmul(const Context& context, const MatmulArgs& args);

}  // namespace bolide::cuda
