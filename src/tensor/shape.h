#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/error.h"

namespace bolide {

// Up to six extents, outermost first. Extents and element counts are 64-bit: BLOOM-176B's embedding has 3.6e9
// elements.
class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents) : rank_(static_cast<int>(extents.size())) {
    BOLIDE_CHECK(rank_ <= kMaxRank);
    for (int i = 0; i < rank_; ++i) extents_[i] = extents[i];
  }
  int rank() const { return rank_; }
  // Negative axes count from the end.
  int64_t operator[](int axis) const { return extents_[axis < 0 ? axis + rank_ : axis]; }
  int64_t& operator[](int axis) { return extents_[axis < 0 ? axis + rank_ : axis]; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= extents_[i];
    return n;
  }
  std::span<const int64_t> extents() const { return {extents_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (extents_[i] != other.extents_[i]) return false;
    return true;
  }
  // "[3, 1024]"
  std::string str() const {
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(extents_[i]);
    return text + "]";
  }

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace bolide
