#pragma once

#include <cstdint>
#include <limits>

// Which keys a query sees. Of every kind these are neighbours, and neither end falls from a query to the next
// one: so the keys of a tile of queries are neighbours, too, and kernels visit no others.
namespace bolide {

enum class MaskKind : uint8_t {
  kCausal,  // query i sees keys 0 to i
  kFull,    // all
  kPrefix,  // as causal, and all the keys of the sequence's prefix
};

inline constexpr int32_t kNoWindow = std::numeric_limits<int32_t>::max();

// Functors of one sequence's query. begin(i) and end(i): the keys that query i sees, by position. kBand:
// begin(i) may be over 0, and end(i) other than i + 1.
struct CausalMask {
  static constexpr bool kBand = false;
  static constexpr int32_t begin(int32_t) { return 0; }
  static constexpr int32_t end(int32_t i) { return i + 1; }
};

// Every kind, with a window: of the keys that the kind lets it see, a query sees those that are fewer than
// `window` away.
struct BandMask {
  static constexpr bool kBand = true;
  int32_t ahead = 0;  // keys that the kind lets every query see, the first one too
  int32_t window = kNoWindow;

  // The row of a kind. prefix_length: where the kind has one.
  static constexpr BandMask of(MaskKind kind, int32_t window, int32_t kv_length, int32_t prefix_length) {
    switch (kind) {
      case MaskKind::kCausal:
        return {0, window};
      case MaskKind::kFull:
        return {kv_length, window};
      case MaskKind::kPrefix:
        return {prefix_length < kv_length ? prefix_length : kv_length, window};
    }
    return {};
  }
  constexpr int32_t begin(int32_t i) const { return i < window ? 0 : i - window + 1; }
  constexpr int32_t end(int32_t i) const {
    if (ahead <= i) return i + 1;
    return ahead - i < window ? ahead : i + window;
  }
};

}  // namespace bolide
