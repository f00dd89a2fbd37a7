#include "weights/value_check.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace bolide {
namespace {

// The bits of the smallest magnitude that is not finite as a `to`. Magnitudes order as their bits do.
uint64_t first_bad(DType from, DType to) {
  switch (from) {
    case DType::kF32:
      if (to == DType::kF16) return std::bit_cast<uint32_t>(65520.f);  // rounds to 2^16
      return to == DType::kBF16 ? 0x7F7F8000 : 0x7F800000;
    case DType::kF16:
      return 0x7C00;
    case DType::kBF16:
      return to == DType::kF16 ? 0x4780 : 0x7F80;  // 2^16
    case DType::kF64:                              // by way of fp32, as convert_elements()
      if (to == DType::kF16) return std::bit_cast<uint64_t>(65520 - 0x1p-9);
      if (to == DType::kBF16) return std::bit_cast<uint64_t>(0x1p128 - 0x1p119 - 0x1p103);
      return std::bit_cast<uint64_t>(to == DType::kF32 ? 0x1p128 - 0x1p103 : HUGE_VAL);
    default:
      BOLIDE_CHECK(false, "{} is not a float", name_of(from));
  }
}

template <class Bits>
int64_t find(const Bits* values, int64_t count, uint64_t first) {
  constexpr Bits kMagnitude = static_cast<Bits>(~Bits{0}) >> 1;
  const auto limit = static_cast<Bits>(first);
  const auto is_bad = [&](int64_t i) { return static_cast<Bits>(values[i] & kMagnitude) >= limit; };
  constexpr int64_t kStep = 1024;  // a loop without an exit, which compilers turn into vectors
  for (int64_t begin = 0; begin < count; begin += kStep) {
    const int64_t end = std::min(count, begin + kStep);
    Bits any = 0;
    for (int64_t i = begin; i < end; ++i) any |= static_cast<Bits>(is_bad(i));
    if (!any) continue;
    for (int64_t i = begin;; ++i)
      if (is_bad(i)) return i;
  }
  return -1;
}

double value_at(const void* data, DType dtype, int64_t index) {
  const auto* at = static_cast<const std::byte*>(data) + static_cast<size_t>(index) * size_of(dtype);
  if (dtype == DType::kF64) {
    double value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  float value = 0;
  convert_elements(at, dtype, &value, DType::kF32, 1);
  return value;
}

}  // namespace

int64_t find_bad_value(const void* data, DType from, DType to, int64_t count) {
  const uint64_t first = first_bad(from, to);
  if (size_of(from) == 2) return find(static_cast<const uint16_t*>(data), count, first);
  if (size_of(from) == 4) return find(static_cast<const uint32_t*>(data), count, first);
  return find(static_cast<const uint64_t*>(data), count, first);
}

void check_values(const TensorSource& source, const std::string& name, const Slice& slice, const void* data,
                  DType to) {
  const TensorInfo info = source.info(name);
  const Shape box = slice.shape(info.shape.rank());
  const int64_t bad = find_bad_value(data, info.dtype, to, box.count());
  if (bad < 0) return;
  Shape element = box;  // its place in the whole tensor
  Slice one;
  for (int64_t axis = box.rank() - 1, rest = bad; axis >= 0; --axis) {
    const auto i = static_cast<size_t>(axis);
    element[static_cast<int>(axis)] = one.begin[i] = slice.begin[i] + rest % box[static_cast<int>(axis)];
    one.end[i] = one.begin[i] + 1;
    rest /= box[static_cast<int>(axis)];
  }
  const double value = value_at(data, info.dtype, bad);
  const std::string where = source.where(name, one);
  if (!std::isfinite(value)) {
    fail(ErrorCode::kCorrupt,
         "tensor '{}' in {} holds {} at element {}: the file is damaged, or training diverged", name, where,
         std::isnan(value) ? "NaN" : "infinity", element.str());
  }
  fail(ErrorCode::kUsage, "tensor '{}' in {} holds {:g} at element {}, more than {} can hold: use {}", name,
       where, value, element.str(), name_of(to),
       to == DType::kF16    ? "bf16 or fp32"
       : to == DType::kBF16 ? "fp32"
                            : "weights of a smaller range");
}

}  // namespace bolide
