#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

// The value that 16 bits stand for, from the definition of the formats and in double, where every f16 and
// bf16 is exact.
double value_of(uint16_t bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

// Bits of the nearest value, ties to the even mantissa, by searching the ordered positive codes: a second way
// to round that shares nothing with the one under test.
uint16_t nearest(double value, int exponent_bits) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  const uint16_t infinity = static_cast<uint16_t>(((1 << exponent_bits) - 1) << (15 - exponent_bits));
  uint16_t low = 0, high = infinity;  // value_of(low) <= magnitude, high is beyond or infinity
  while (high - low > 1) {
    const uint16_t middle = static_cast<uint16_t>((low + high) / 2);
    (value_of(middle, exponent_bits) <= magnitude ? low : high) = middle;
  }
  const double below = value_of(low, exponent_bits);
  const double step = below - value_of(static_cast<uint16_t>(low - (low == 0 ? 0 : 1)), exponent_bits);
  // Infinity counts as one more step above the largest finite value (IEEE 754, 4.3.1).
  const double above = high == infinity ? below + step : value_of(high, exponent_bits);
  if (magnitude - below == above - magnitude) return sign | (low % 2 == 0 ? low : high);
  return sign | (magnitude - below < above - magnitude ? low : high);
}

TEST(F16, EveryCodeHasItsValueAndComesBack) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const uint16_t bits = static_cast<uint16_t>(code);
    const double want = value_of(bits, 5);
    const float got = to_float(f16{bits});
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << code;
      ASSERT_TRUE(std::isnan(to_float(to_f16(got)))) << code;
    } else {
      ASSERT_EQ(static_cast<double>(got), want) << code;
      ASSERT_EQ(to_f16(got).bits, bits) << code;  // also tells -0 from 0
    }
  }
}

TEST(BF16, EveryCodeHasItsValueAndComesBack) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const uint16_t bits = static_cast<uint16_t>(code);
    const double want = value_of(bits, 8);
    const float got = to_float(bf16{bits});
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << code;
      ASSERT_TRUE(std::isnan(to_float(to_bf16(got)))) << code;
    } else {
      ASSERT_EQ(static_cast<double>(got), want) << code;
      ASSERT_EQ(to_bf16(got).bits, bits) << code;
    }
  }
}

template <class Round>
void check_around_every_code(int exponent_bits, Round&& round) {
  const uint16_t infinity = static_cast<uint16_t>(((1 << exponent_bits) - 1) << (15 - exponent_bits));
  for (uint16_t code = 0; code < infinity; ++code) {
    const double here = value_of(code, exponent_bits);
    const double next = code + 1 == infinity
                            ? 2 * here - value_of(static_cast<uint16_t>(code - 1), exponent_bits)
                            : value_of(static_cast<uint16_t>(code + 1), exponent_bits);
    const float tie = static_cast<float>((here + next) / 2);  // exact: one more mantissa bit
    if (std::isinf(tie)) continue;  // bf16's largest value lies within half a step of float's
    const float inf = std::numeric_limits<float>::infinity();
    for (float value : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, inf)}) {
      for (float sign : {1.0f, -1.0f}) {
        ASSERT_EQ(round(sign * value), nearest(sign * value, exponent_bits)) << code << " " << value;
      }
    }
  }
}

TEST(F16, RoundsToNearestEvenAroundEveryTie) {
  check_around_every_code(5, [](float value) { return to_f16(value).bits; });
}

TEST(BF16, RoundsToNearestEvenAroundEveryTie) {
  check_around_every_code(8, [](float value) { return to_bf16(value).bits; });
}

TEST(F16, AgreesWithTheSearchOnRandomFloats) {
  for (uint32_t i = 0; i < 200000; ++i) {
    const float value = std::bit_cast<float>(philox4x32(1, {i, 0, 0, 0})[0]);
    if (std::isnan(value)) continue;
    ASSERT_EQ(to_f16(value).bits, nearest(value, 5)) << value;
    ASSERT_EQ(to_bf16(value).bits, nearest(value, 8)) << value;
  }
}

TEST(F16, EdgesOfItsRange) {
  EXPECT_EQ(to_f16(65504.0f).bits, 0x7BFF);
  EXPECT_EQ(to_f16(std::nextafter(65520.0f, 0.0f)).bits, 0x7BFF);
  EXPECT_EQ(to_f16(65520.0f).bits, 0x7C00);  // the tie above the largest goes to infinity
  EXPECT_EQ(to_f16(-std::numeric_limits<float>::infinity()).bits, 0xFC00);
  EXPECT_EQ(to_f16(0x1.0p-25f).bits, 0x0000);  // tie between 0 and the smallest subnormal
  EXPECT_EQ(to_f16(std::nextafter(0x1.0p-25f, 1.0f)).bits, 0x0001);
  EXPECT_EQ(to_f16(-0.0f).bits, 0x8000);
}

TEST(BF16, LargestFloatRoundsToInfinityAndNanStaysNan) {
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7F800001u)))));  // its payload is cut off
  EXPECT_TRUE(std::isnan(to_float(to_f16(std::bit_cast<float>(0x7F800001u)))));
}

TEST(DType, NamesAndSizes) {
  EXPECT_EQ(name_of(DType::kF32), "fp32");
  EXPECT_EQ(name_of(DType::kBF16), "bf16");
  EXPECT_EQ(name_of(DType::kU8), "uint8");
  EXPECT_EQ(name_of(DType::kBool), "bool");
  EXPECT_EQ(size_of(DType::kF64), 8u);
  EXPECT_EQ(size_of(DType::kF16), 2u);
  EXPECT_EQ(size_of(DType::kBool), 1u);
  for (const char* name : {"fp32", "float32"}) EXPECT_EQ(parse_data_type(name), DType::kF32);
  for (const char* name : {"fp16", "float16"}) EXPECT_EQ(parse_data_type(name), DType::kF16);
  for (const char* name : {"bf16", "bfloat16"}) EXPECT_EQ(parse_data_type(name), DType::kBF16);
  for (const char* name : {"", "FP32", "int8", "fp8"}) {
    EXPECT_ERROR(parse_data_type(name), ErrorCode::kUsage, std::string("'") + name + "'");
  }
}

TEST(DispatchFloat, GivesTheTypeOfTheDtypeAndRefusesIntegers) {
  auto size = [](DType dtype) { return dispatch_float(dtype, []<class T>() { return kDTypeOf<T>; }); };
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) EXPECT_EQ(size(dtype), dtype);
  EXPECT_ERROR(size(DType::kI32), ErrorCode::kUnsupported, "int32");
}

TEST(ConvertElements, EveryPairOfFloatTypes) {
  const std::vector<double> values = {0.0, -1.5, 3.140625, 57344.0, 6.103515625e-05};  // exact in f16
  for (DType from : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
    for (DType to : {DType::kF32, DType::kF16, DType::kBF16}) {
      std::vector<float> narrow(values.begin(), values.end());
      std::vector<std::byte> source(values.size() * size_of(from)), target(values.size() * size_of(to));
      std::vector<float> back(values.size());
      if (from == DType::kF64) {
        std::memcpy(source.data(), values.data(), source.size());
      } else {
        convert_elements(narrow.data(), DType::kF32, source.data(), from, values.size());
      }
      convert_elements(source.data(), from, target.data(), to, values.size());
      convert_elements(target.data(), to, back.data(), DType::kF32, values.size());
      for (size_t i = 0; i < values.size(); ++i) {
        // bf16 keeps 8 significant bits, the others all of these values.
        const double bound = from == DType::kBF16 || to == DType::kBF16 ? std::fabs(values[i]) / 256 : 0;
        EXPECT_NEAR(back[i], values[i], bound) << name_of(from) << " to " << name_of(to);
      }
    }
  }
}

TEST(ConvertElements, TakesNothingAndCopiesEqualTypes) {
  convert_elements(nullptr, DType::kF32, nullptr, DType::kF32, 0);
  const int64_t in[2] = {7, -7};
  int64_t out[2] = {};
  convert_elements(in, DType::kI64, out, DType::kI64, 2);
  EXPECT_EQ(out[1], -7);
  float wrong[2];
  EXPECT_ERROR(convert_elements(in, DType::kI64, wrong, DType::kF32, 2), ErrorCode::kUnsupported, "int64");
}

}  // namespace
}  // namespace bolide
