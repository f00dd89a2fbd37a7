#pragma once

#include <optional>
#include <string>
#include <string_view>

// GPT-2's alphabet: a printable character for every byte, so that a vocabulary of bytes can be read and
// written as text. Printable bytes stand for themselves, the others for U+0100 on.
namespace bolide::text {

inline constexpr char32_t kSpaceLetter = U'\u0120';  // the letter of the byte ' '

// The letter of a byte, in UTF-8 (1 or 2 bytes).
std::string_view byte_letter(unsigned char byte);
// The byte of a letter; -1 for any other character.
int letter_byte(char32_t letter);

void append_letters(std::string_view bytes, std::string& out);
// The bytes of a token; nullopt when a character of it is no letter.
std::optional<std::string> letters_to_bytes(std::string_view token);

}  // namespace bolide::text
