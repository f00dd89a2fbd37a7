#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace bolide::text {

// Drawn once a process: tables are filled from files and texts that anyone may have written, and with a known
// hash 60,000 entries of one value take minutes.
struct HashSeeds {
  uint64_t first, second;
  HashSeeds();
  constexpr HashSeeds(uint64_t a, uint64_t b) : first(a), second(b) {}
};
inline const HashSeeds kHashSeeds;

// Multiply and fold: the high half of the product carries the mixing.
inline uint64_t mix(uint64_t a, uint64_t b, const HashSeeds& seeds = kHashSeeds) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a ^ seeds.first) * (b ^ seeds.second);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Words are short (8 bytes or fewer in the main), so that this reads two overlapping 8-byte words and stops.
inline uint64_t hash_bytes(std::string_view bytes, const HashSeeds& seeds = kHashSeeds) {
  const char* data = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = left;
  const auto load = [](const char* at, size_t n) {
    uint64_t word = 0;
    std::memcpy(&word, at, n);
    return word;
  };
  while (left > 16) {
    hash = mix(load(data, 8) ^ hash, load(data + 8, 8), seeds);
    data += 16, left -= 16;
  }
  if (left > 8) return mix(load(data, 8) ^ hash, load(data + left - 8, 8), seeds);
  return mix(load(data, left) ^ hash, hash, seeds);
}

inline uint64_t hash_id(int64_t id) { return mix(static_cast<uint64_t>(id), 0); }

// For the standard library's tables, whose own hash of a number is the number.
struct SeededHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return hash_bytes(text); }
  size_t operator()(int64_t id) const { return hash_id(id); }
};

}  // namespace bolide::text
