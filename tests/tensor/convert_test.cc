#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tensor/dtype.h"

namespace bolide {
namespace {

// The vector paths against the scalar definitions, bit for bit, at every length around the vector width. All
// 2^16 patterns of the halves; for fp32, patterns from all over and the ties of rounding.
template <class From, class To>
void expect_same(const std::vector<From>& from) {
  for (size_t count : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{17}, size_t{33}, from.size()}) {
    std::vector<To> to(count + 1, To{});
    convert_elements(from.data(), kDTypeOf<From>, to.data(), kDTypeOf<To>, count);
    for (size_t i = 0; i < count; ++i) {
      const To want = from_float<To>(to_float(from[i]));
      const float got_value = to_float(to[i]), want_value = to_float(want);
      if (std::isnan(want_value)) {
        ASSERT_TRUE(std::isnan(got_value)) << i;
      } else {
        ASSERT_EQ(std::memcmp(&to[i], &want, sizeof(To)), 0)
            << i << ": " << got_value << " not " << want_value;
      }
    }
    const To nothing{};
    EXPECT_EQ(std::memcmp(&to[count], &nothing, sizeof(To)), 0) << "wrote past " << count;
  }
}

template <class T>
std::vector<T> all_halves() {
  std::vector<T> all;
  for (uint32_t bits = 0; bits < 65536; ++bits) all.push_back({static_cast<uint16_t>(bits)});
  return all;
}

TEST(ConvertElements, Halves) {
  expect_same<f16, float>(all_halves<f16>());
  expect_same<bf16, float>(all_halves<bf16>());
  expect_same<f16, bf16>(all_halves<f16>());
  expect_same<bf16, f16>(all_halves<bf16>());
}

TEST(ConvertElements, Floats) {
  std::vector<float> floats;
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) floats.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  for (int i = 0; i < 100'000; ++i) {  // within fp16's range, on its ties and beside them
    const float half = to_float(f16{static_cast<uint16_t>(random())});
    const uint32_t bits = std::bit_cast<uint32_t>(half);
    for (uint32_t tail : {0x1000u, 0x0FFFu, 0x1001u}) floats.push_back(std::bit_cast<float>(bits | tail));
    for (uint32_t tail : {0x8000u, 0x7FFFu, 0x8001u})
      floats.push_back(std::bit_cast<float>((static_cast<uint32_t>(random()) & 0xFFFF0000u) | tail));
  }
  expect_same<float, f16>(floats);
  expect_same<float, bf16>(floats);
}

TEST(ConvertElements, Doubles) {
  std::vector<double> doubles;
  for (int i = 0; i < 1000; ++i) doubles.push_back(std::sin(i) * std::pow(10.0, i % 9 - 4));
  std::vector<float> floats(doubles.size());
  std::vector<bf16> halves(doubles.size());
  convert_elements(doubles.data(), DType::kF64, floats.data(), DType::kF32, doubles.size());
  convert_elements(doubles.data(), DType::kF64, halves.data(), DType::kBF16, doubles.size());
  for (size_t i = 0; i < doubles.size(); ++i) {
    EXPECT_EQ(floats[i], static_cast<float>(doubles[i]));
    EXPECT_EQ(halves[i].bits, to_bf16(static_cast<float>(doubles[i])).bits);
  }
}

}  // namespace
}  // namespace bolide
