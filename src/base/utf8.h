#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bolide {

// What stands at one place of a byte string. An ill-formed sequence is as long as the Unicode standard's
// "maximal subpart", so that one U+FFFD stands for the same bytes as in Python and Rust.
struct Utf8Step {
  uint8_t size = 1;
  bool valid = false;
  bool truncated = false;  // ill-formed only because the bytes end here
};
Utf8Step utf8_step(std::string_view bytes, size_t at);

// Where the run of ASCII from `at` on ends.
size_t skip_ascii(std::string_view bytes, size_t at);

bool is_utf8(std::string_view bytes);

inline size_t char_size(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

inline bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// The character at `at`, which then moves past it. Only for well-formed text.
inline char32_t next_char(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return ++at, lead;
  char32_t c;
  if (lead < 0xE0) {
    c = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    at += 2;
  } else if (lead < 0xF0) {
    c = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    at += 3;
  } else {
    c = (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    at += 4;
  }
  return c;
}

inline char32_t char_at(std::string_view text, size_t at) { return next_char(text, at); }

// Where the character before `at` begins; `at` is above 0.
inline size_t previous_char(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && is_continuation(text[at]));
  return at;
}

inline void append_char(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

}  // namespace bolide
