#pragma once

#include <cstdint>

#include "base/error.h"

namespace bolide {

// A whole number of bytes, tokens or rows that follows from sizes which a user may choose. Where a sum or
// product leaves 63 bits it throws kUsage instead of wrapping.
class Exact {
 public:
  Exact(int64_t value) : value_(value) {}  // NOLINT(google-explicit-constructor): numbers mix with these
  int64_t value() const { return value_; }
  friend Exact operator+(Exact a, Exact b) {
    return __builtin_add_overflow(a.value_, b.value_, &a.value_) ? too_much() : a;
  }
  friend Exact operator*(Exact a, Exact b) {
    return __builtin_mul_overflow(a.value_, b.value_, &a.value_) ? too_much() : a;
  }

 private:
  [[noreturn]] static Exact too_much() {
    fail(ErrorCode::kUsage,
         "the memory for these sizes is more than 2^63 bytes: ask for a smaller batch size or length");
  }
  int64_t value_;
};

}  // namespace bolide
