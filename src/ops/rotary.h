#pragma once

#include <span>

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

// Frequencies that depend on the text's length (Hugging Face's rope_type "dynamic"): in a text of more than
// `trained` tokens pair i turns by 1 / base^(2i / dims) a position, where dims is twice the number of pairs,
// above 2, and base = theta * (factor * length / trained - (factor - 1))^(dims / (dims - 2)). What comes of
// base, 2i / dims, the power and its reciprocal is each rounded to fp32, as there.
struct RotaryGrowth {
  int64_t trained = 0;  // 0: they do not depend on it
  double theta = 0, factor = 1;
};

struct RotaryAnglesArgs {
  std::span<const int32_t> positions;  // [tokens], on the context's device as all of these
  View frequencies;  // [pairs] fp32: the angle that each pair turns by from one position to the next
  float scale = 1;   // of cos and sin
  // With growth a token of the prompt turns by what holds for the prompt's length, also where the prompt
  // comes in chunks; a later one by what holds for the length at its own step.
  RotaryGrowth growth = {};
  std::span<const int32_t> query_offsets = {};   // [sequences + 1], as in AttentionArgs
  std::span<const int32_t> prompt_lengths = {};  // [sequences]
  // [pairs] fp32, or empty: in texts of more than growth.trained tokens these, whatever the length is.
  View long_frequencies = {};
  View cos, sin;  // [tokens, pairs] fp32, rows may be strided
};
// cos and sin of position * frequency, that product being rounded to fp32: at position 10,000 its last bit is
// 6e-4 radian.
void rotary_angles(const Context& context, const RotaryAnglesArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void rotary(const Context& context, const RotaryArgs& args);
void rotary_angles(const Context& context, const RotaryAnglesArgs& args);
}  // namespace cpu
namespace cuda {
void rotary(const Context& context, const RotaryArgs& args);
void rotary_angles(const Context& context, const RotaryAnglesArgs& args);
}  // namespace cuda

}  // namespace bolide
