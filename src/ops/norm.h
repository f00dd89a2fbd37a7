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
  View y;                   // [tokens, hidden] fp32 or context.activation, rows may be strided; may be x
  bool accumulate = false;  // y, then fp32 and not x, += instead of =
};
// y = norm(x), computed in fp32.
void layer_norm(const Context& context, const LayerNormArgs& args);

struct HeadNormArgs {
  // [tokens, heads * head_size] and [tokens, kv heads * head_size], both fp32 or both context.activation, in
  // place; rows may be strided.
  View q, k;
  int64_t head_size = 0;  // 0: a whole row is normed as one
  // Of each head's elements, or of a whole row's: parameters of that size for every head, or of all of them.
  Norm q_norm, k_norm;
  // For whole rows of which this rank has a part: [tokens, 2] fp32, the sums of the squares of q's and k's
  // elements over `ranks` ranks that have as many each. RMS norms alone. Empty: the rows are all there is.
  View squares = {};
  int64_t ranks = 1;
};
// q and k, each head or row normed, computed in fp32. Both norms are of one kind.
void head_norm(const Context& context, const HeadNormArgs& args);

struct RowSquaresArgs {
  View q, k;  // as in HeadNormArgs, read alone
  View y;     // [tokens, 2] fp32, contiguous
};
// y = the sum of the squares of each row of q, and of k.
void row_squares(const Context& context, const RowSquaresArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void layer_norm(const Context& context, const LayerNormArgs& args);
void head_norm(const Context& context, const HeadNormArgs& args);
void row_squares(const Context& context, const RowSquaresArgs& args);
}  // namespace cpu
namespace cuda {
void layer_norm(const Context& context, const LayerNormArgs& args);
void head_norm(const Context& context, const HeadNormArgs& args);
void row_squares(const Context& context, const RowSquaresArgs& args);
}  // namespace cuda

}  // namespace bolide
