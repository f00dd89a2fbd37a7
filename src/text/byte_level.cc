#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace bolide::text {
namespace {

struct Alphabet {
  std::array<std::string, 256> letters;
  std::array<int16_t, 0x144> bytes;  // by letter: the last is U+0143

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
      const char32_t letter = printable ? static_cast<char32_t>(byte) : next++;
      letters[static_cast<size_t>(byte)] = to_string(letter);
      bytes[letter] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

std::string_view byte_letter(unsigned char byte) { return alphabet().letters[byte]; }

int letter_byte(char32_t letter) { return letter < 0x144 ? alphabet().bytes[letter] : -1; }

void append_letters(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) out.append(byte_letter(static_cast<unsigned char>(byte)));
}

std::optional<std::string> letters_to_bytes(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const int byte = letter_byte(next_char(token, at));
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

}  // namespace bolide::text
