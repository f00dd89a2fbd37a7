#pragma once

#include <vector>

#include "text/normalized_string.h"

namespace bolide::text {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// Rewrites `chars` in a Unicode normal form (of Unicode 9, the version of the `tokenizers` package), keeping
// for each character the original that the package says it came from.
void to_normal_form(NormalForm form, std::vector<AlignedChar>& chars, Work& work);

// True only for text that the form leaves as it is; false may mean either.
bool is_surely_normal(NormalForm form, std::string_view text);

}  // namespace bolide::text
