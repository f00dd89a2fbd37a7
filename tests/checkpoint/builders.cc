#include "checkpoint/builders.h"

#include "tensor/dtype.h"

namespace bolide {
namespace {

double element(DType dtype, const std::byte* at) {
  auto load = [&]<class T>() {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (dtype) {
    case DType::kF32:
      return load.template operator()<float>();
    case DType::kF16:
      return to_float(load.template operator()<f16>());
    case DType::kBF16:
      return to_float(load.template operator()<bf16>());
    case DType::kF64:
      return load.template operator()<double>();
    case DType::kI64:
      return static_cast<double>(load.template operator()<int64_t>());
    case DType::kI32:
      return load.template operator()<int32_t>();
    case DType::kI16:
      return load.template operator()<int16_t>();
    case DType::kI8:
      return load.template operator()<int8_t>();
    case DType::kU8:
    case DType::kBool:
      return load.template operator()<uint8_t>();
  }
  return -1;
}

void expect_slice(const TensorSource& source, const std::string& name, const Shape& shape,
                  const Slice& slice) {
  const DType dtype = source.info(name).dtype;
  const Shape extents = slice.shape(shape.rank());
  const size_t bytes = static_cast<size_t>(extents.count()) * size_of(dtype);
  std::vector<std::byte> read(bytes + 1, std::byte{0xA5});
  source.read(name, slice, read.data());
  EXPECT_EQ(read[bytes], std::byte{0xA5}) << name << " wrote past its end";
  for (int64_t i = 0; i < extents.count(); ++i) {
    int64_t rest = i, logical = 0, stride = 1;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      logical += (slice.begin[axis] + rest % extents[axis]) * stride;
      rest /= extents[axis];
      stride *= shape[axis];
    }
    const int expected = dtype == DType::kBool ? ramp(logical) % 2 : ramp(logical);
    ASSERT_EQ(element(dtype, read.data() + static_cast<size_t>(i) * size_of(dtype)), expected)
        << name << " element " << i << " of a slice of " << extents.str();
  }
}

}  // namespace

void expect_ramp(const TensorSource& source, const std::string& name, const Shape& shape) {
  ASSERT_TRUE(source.contains(name)) << name;
  ASSERT_EQ(source.info(name).shape.str(), shape.str()) << name;
  const Slice all = Slice::all(shape);
  expect_slice(source, name, shape, all);
  for (int axis = 0; axis < shape.rank(); ++axis)
    for (int64_t begin = 0; begin < shape[axis]; ++begin)
      for (int64_t end = begin; end <= shape[axis]; ++end)
        expect_slice(source, name, shape, Slice::along(shape, axis, begin, end));
  Slice inner = all;  // narrowed on every axis at once
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] < 2) continue;
    inner.begin[axis] = 1;
    expect_slice(source, name, shape, inner);
  }
}

}  // namespace bolide
