#include "base/utf8.h"

#include <cstring>

namespace bolide {

size_t skip_ascii(std::string_view bytes, size_t at) {
  while (at + 8 <= bytes.size()) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    if (word & 0x8080808080808080u) break;
    at += 8;
  }
  while (at < bytes.size() && static_cast<unsigned char>(bytes[at]) < 0x80) ++at;
  return at;
}

Utf8Step utf8_step(std::string_view bytes, size_t at) {
  const auto lead = static_cast<unsigned char>(bytes[at]);
  if (lead < 0x80) return {1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {1, false, false};
  const int size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Table 3-7 of the Unicode standard: only the second byte has a range of its own.
  unsigned low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (int i = 1; i < size; ++i) {
    const auto have = static_cast<uint8_t>(i);
    if (at + i >= bytes.size()) return {have, false, true};
    const auto byte = static_cast<unsigned char>(bytes[at + i]);
    if (byte < low || byte > high) return {have, false, false};
    low = 0x80, high = 0xBF;
  }
  return {static_cast<uint8_t>(size), true, false};
}

bool is_utf8(std::string_view bytes) {
  for (size_t at = skip_ascii(bytes, 0); at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, at);
    if (!step.valid) return false;
    at = skip_ascii(bytes, at + step.size);
  }
  return true;
}

}  // namespace bolide
