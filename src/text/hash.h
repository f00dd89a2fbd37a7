#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace bolide::text {

// Multiply and fold: the high half of the product carries the mixing.
inline uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xE7037ED1A0B428DBu);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Words are short (8 bytes or fewer in the main), so that this reads two overlapping 8-byte words and stops.
inline uint64_t hash_bytes(std::string_view bytes) {
  const char* data = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = left;
  const auto load = [](const char* at, size_t n) {
    uint64_t word = 0;
    std::memcpy(&word, at, n);
    return word;
  };
  while (left > 16) {
    hash = mix(load(data, 8) ^ hash, load(data + 8, 8));
    data += 16, left -= 16;
  }
  if (left > 8) return mix(load(data, 8) ^ hash, load(data + left - 8, 8));
  return mix(load(data, left) ^ hash, hash);
}

}  // namespace bolide::text
