#pragma once

#include <array>
#include <cstdint>

namespace bolide {

// Philox4x32-10, a counter-based generator (Salmon et al., SC'11): the same (key, counter) gives the same
// four words on every device and in any order, which is what makes sampling independent of how requests are
// batched.
constexpr std::array<uint32_t, 4> philox4x32(uint64_t key, std::array<uint32_t, 4> counter) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// Uniform in (0, 1), never 0 or 1: 23 bits, centred. (With 24, the largest word plus one half needs a 25th
// bit and rounds to 1.)
constexpr float to_unit_float(uint32_t word) { return (static_cast<float>(word >> 9) + 0.5f) * 0x1.0p-23f; }

}  // namespace bolide
