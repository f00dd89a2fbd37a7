#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ops/ref/element.h"
#include "tensor/tensor.h"

namespace bolide::test {

// Deterministic inputs: one generator a case, so that a case is the same wherever it runs.
class Source {
 public:
  explicit Source(uint32_t seed) : engine_(seed) {}
  float normal() { return normal_(engine_); }
  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<float> normal_;
};

// An fp32 matrix with strided rows inside guards. poison() fills all of it, guards and gaps between rows
// included, with one NaN pattern; after a run every element must differ from it and everything else be equal
// to it.
class Guarded {
 public:
  Guarded() = default;
  Guarded(int64_t rows, int64_t columns, int64_t gap)
      : rows_(rows), columns_(columns), stride_(columns + gap) {
    memory_ = Tensor::allocate({kGuard + rows * stride_ + kGuard}, DType::kF32);
    poison();
  }
  static Guarded random(int64_t rows, int64_t columns, int64_t gap, Source& source, float scale = 1) {
    Guarded made(rows, columns, gap);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) made.row(r)[c] = scale * source.normal();
    return made;
  }

  void poison() {
    auto* words = static_cast<uint32_t*>(memory_.view().data);
    std::fill(words, words + memory_.shape()[0], kPoison);
  }
  float* row(int64_t r) const { return memory_.as<float>() + kGuard + r * stride_; }
  View view() const {
    View v(row(0), DType::kF32, {rows_, columns_});
    v.row_stride = stride_;
    return v;
  }
  View vector() const { return {row(0), DType::kF32, {columns_}}; }

  // "" or what is wrong: an element left unwritten, something written outside.
  std::string check_written() const {
    const auto* words = static_cast<const uint32_t*>(memory_.view().data);
    for (int64_t i = 0; i < memory_.shape()[0]; ++i) {
      const int64_t at = i - kGuard;
      const bool inside = at >= 0 && at < rows_ * stride_ && at % stride_ < columns_;
      if (inside == (words[i] == kPoison))
        return fmt::format("element {} of row {} {}", at % stride_, at / stride_,
                           inside ? "was not written" : "is outside and was written");
    }
    return "";
  }
  // "" or the first element off by more than `relative` * its bound. Bounds: one for each expected value.
  std::string compare(const std::vector<double>& expected, const std::vector<double>& bound,
                      double relative) const {
    for (int64_t i = 0; i < rows_ * columns_; ++i) {
      const double got = row(i / columns_)[i % columns_], want = expected[static_cast<size_t>(i)];
      const double allowed = relative * bound[static_cast<size_t>(i)];
      if (!(std::abs(got - want) <= allowed))
        return fmt::format("[{}, {}] is {} instead of {}: off by {:.3g}, allowed {:.3g}", i / columns_,
                           i % columns_, got, want, std::abs(got - want), allowed);
    }
    return "";
  }
  std::vector<std::byte> bytes() const {
    const auto* begin = static_cast<const std::byte*>(memory_.view().data);
    return {begin, begin + memory_.bytes()};
  }

 private:
  static constexpr int64_t kGuard = 32;
  static constexpr uint32_t kPoison = 0x7FC0DEAD;  // a quiet NaN that arithmetic does not make
  Tensor memory_;
  int64_t rows_ = 0, columns_ = 0, stride_ = 0;
};

}  // namespace bolide::test
