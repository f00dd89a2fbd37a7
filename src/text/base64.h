#pragma once

#include <string>
#include <string_view>

namespace bolide::text {

// Whether `c` is one of the 64 digits.
bool is_base64_digit(char c);
// Appends what `text` stands for; false for what is not base64 with its padding.
bool decode_base64(std::string_view text, std::string& out);
std::string encode_base64(std::string_view bytes);

}  // namespace bolide::text
