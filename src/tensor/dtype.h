#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/error.h"

namespace bolide {

enum class DType : uint8_t { kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU8, kBool };

// IEEE half and bfloat16 as storage: arithmetic happens in float.
struct f16 {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

constexpr float to_float(bf16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }
float to_float(f16 value);
constexpr float to_float(float value) { return value; }
// Round to nearest, ties to even; NaN stays NaN.
bf16 to_bf16(float value);
f16 to_f16(float value);
template <class T>
T from_float(float value);
template <>
inline float from_float<float>(float value) {
  return value;
}
template <>
inline bf16 from_float<bf16>(float value) {
  return to_bf16(value);
}
template <>
inline f16 from_float<f16>(float value) {
  return to_f16(value);
}

// Bytes of one element.
constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
      return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  return 0;
}
constexpr bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF64;
}

// "fp32", "fp16", "bf16", "fp64", "int64", ...: FT's and the command line's names.
std::string_view name_of(DType dtype);
// The floating types by those names (also float32, float16, bfloat16); kUsage for another word.
DType parse_data_type(std::string_view name);

// A type without a dtype does not compile.
template <class T>
struct DTypeOf;
template <class T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;
template <>
inline constexpr DType kDTypeOf<float> = DType::kF32;
template <>
inline constexpr DType kDTypeOf<f16> = DType::kF16;
template <>
inline constexpr DType kDTypeOf<bf16> = DType::kBF16;
template <>
inline constexpr DType kDTypeOf<double> = DType::kF64;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kI32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kI64;
template <>
inline constexpr DType kDTypeOf<int8_t> = DType::kI8;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kU8;

// Calls f.template operator()<T>() with the C++ type of a weight or activation dtype: f32, f16 or bf16.
//   dispatch_float(view.dtype, [&]<class T>() { kernel<T>(view.as<T>()); });
template <class F>
decltype(auto) dispatch_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f.template operator()<float>();
    case DType::kF16:
      return f.template operator()<f16>();
    case DType::kBF16:
      return f.template operator()<bf16>();
    default:
      fail(ErrorCode::kUnsupported, "data type {} is not one that Bolide computes with (fp32, fp16, bf16)",
           name_of(dtype));
  }
}

// Element-wise conversion between fp64, fp32, fp16 and bf16 on the host, rounded to nearest even (by way of
// fp32); NaN stays NaN. src and dst may not overlap.
void convert_elements(const void* src, DType src_dtype, void* dst, DType dst_dtype, size_t count);

}  // namespace bolide
