#pragma once

#include <string_view>
#include <vector>

#include "text/regex.h"

namespace bolide::text {

// GPT-2's cut into words, the one of every ByteLevel pre-tokenizer:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// It covers all of the text. Written by hand, because the engine takes most of the time of an encode; the
// classes of characters are asked of the engine, so that both agree whatever Unicode version it has.
void gpt2_split(std::string_view text, std::vector<Match>& out);

// The same by the engine, for the test that both agree.
void gpt2_split_by_regex(std::string_view text, std::vector<Match>& out);

}  // namespace bolide::text
