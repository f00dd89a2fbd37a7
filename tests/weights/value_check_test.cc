#include "weights/value_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bolide {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF64};

// The value of type `dtype` with these bits, converted to `to` as weights are, widened.
double converted(uint64_t bits, DType dtype, DType to) {
  double value = 0;
  if (to == DType::kF64) to = dtype;
  std::byte raw[8];
  convert_elements(&bits, dtype, raw, to, 1);
  if (to == DType::kF64) {
    std::memcpy(&value, raw, 8);
    return value;
  }
  float wide = 0;
  convert_elements(raw, to, &wide, DType::kF32, 1);
  return wide;
}

int64_t one(uint64_t bits, DType dtype, DType to) { return find_bad_value(&bits, dtype, to, 1); }

// For each pair of types: what is bad is just what converts to something that is not finite.
TEST(FindBadValue, AgreesWithTheConversion) {
  for (const DType from : kFloats) {
    for (const DType to : {DType::kF32, DType::kF16, DType::kBF16}) {
      const int bits = static_cast<int>(size_of(from)) * 8;
      const uint64_t sign = uint64_t{1} << (bits - 1);
      uint64_t low = 0, high = sign - 1;  // the smallest bad magnitude is in (low, high]
      ASSERT_TRUE(std::isfinite(converted(low, from, to)));
      ASSERT_FALSE(std::isfinite(converted(high, from, to)));
      while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        (std::isfinite(converted(middle, from, to)) ? low : high) = middle;
      }
      EXPECT_EQ(one(low, from, to), -1) << name_of(from) << " to " << name_of(to);
      EXPECT_EQ(one(high, from, to), 0) << name_of(from) << " to " << name_of(to);
      EXPECT_EQ(one(low | sign, from, to), -1) << name_of(from) << " to " << name_of(to);
      EXPECT_EQ(one(high | sign, from, to), 0) << name_of(from) << " to " << name_of(to);
      EXPECT_EQ(one(sign - 1, from, to), 0);
      EXPECT_EQ(one(0, from, to), -1);
      EXPECT_EQ(one(sign, from, to), -1);  // -0
    }
  }
}

TEST(FindBadValue, FindsTheFirstWhereverItIs) {
  for (const int64_t count : {1, 7, 1023, 1024, 1025, 5000}) {
    std::vector<float> values(static_cast<size_t>(count), 1e38f);
    EXPECT_EQ(find_bad_value(values.data(), DType::kF32, DType::kF32, count), -1);
    for (const int64_t at : {int64_t{0}, count / 2, count - 1}) {
      values[static_cast<size_t>(at)] = NAN;
      EXPECT_EQ(find_bad_value(values.data(), DType::kF32, DType::kF32, count), at);
      EXPECT_EQ(find_bad_value(values.data(), DType::kF32, DType::kF32, at), -1);
      values[static_cast<size_t>(at)] = 1e38f;
    }
    values.back() = values.front() = -INFINITY;
    EXPECT_EQ(find_bad_value(values.data(), DType::kF32, DType::kBF16, count), 0);
  }
}

}  // namespace
}  // namespace bolide
