#pragma once

#include "tensor/context.h"

namespace bolide {

struct RotaryArgs {
  View x;  // [tokens, heads * head_size] fp32 or context.activation, in place; rows may be strided
  int64_t head_size = 0;  // of which the first 2 * cos.shape[1] turn, the others stay
  View cos, sin;          // [tokens, pairs] fp32
  bool interleaved =
      false;  // pairs are neighbours (2i, 2i + 1), as GPT-J has them; else halves (i, i + pairs)
};
// Turns each pair (a, b) of each head to (a cos - b sin, b cos + a sin).
void rotary(const Context& context, const RotaryArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void rotary(const Context& context, const RotaryArgs& args);
}  // namespace cpu

}  // namespace bolide
