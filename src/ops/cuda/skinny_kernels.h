#pragma once

#include "ops/matmul.h"

// What the files of skinny_matmul() share.
namespace bolide::cuda {

// A matmul as its kernels see it. Strides and indices count elements.
struct SkinnyArgs {
  const void* w = nullptr;        // [out, padded], the padding 0, each row 16-byte aligned
  const float* scales = nullptr;  // [out] of int8 weights
  const void* x = nullptr;        // [tokens, in]
  void* y = nullptr;              // [tokens, out]
  const void* bias = nullptr;     // [out] of y's dtype, or null
  int64_t x_stride = 0, y_stride = 0;
  int tokens = 0, out = 0, in = 0, padded = 0;
  DType x_dtype = DType::kF32, y_dtype = DType::kF32;
  Activation activation = Activation::kNone;
  bool accumulate = false;
  bool gated = false;     // then y has half of `out` columns
  bool x_vector = false;  // rows of x are 16-byte aligned
};
SkinnyArgs skinny_args(const MatmulArgs& args);

// Without tensor cores, by fp32 fused multiply-adds: exact for fp32 weights; any dtype and shape, no norm.
void fma_matmul(const Context& context, const MatmulArgs& args);

}  // namespace bolide::cuda
