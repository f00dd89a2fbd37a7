#pragma once

#include "models/config.h"

namespace bolide {

// What transformers' config class of a family with GPT-2's keys has where a file says nothing.
struct ShortKeyDefaults {
  std::string_view architecture;
  int64_t vocab_size = 50257;
  int64_t hidden_size = 768;
  int64_t layers = 12, heads = 12;
  int64_t positions = 1024;
  bool tied_head = true;
};
// The sizes of such a config.json, as many key and value heads as heads; max_positions is 0 where the family
// has no table of positions. The begin id is 50256 unless the file says another.
ModelConfig read_short_keys(const Json& json, const ShortKeyDefaults& defaults, std::string_view where);
// Its activation_function.
Activation read_activation_function(const Json& json, const char* fallback, std::string_view where);

}  // namespace bolide
