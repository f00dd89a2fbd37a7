#pragma once

#include <cstddef>
#include <memory>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace bolide {

enum class Device : uint8_t { kCpu, kCuda };

// Where memory begins that is only counted: views of it are not empty, nor do they overlap, and whoever reads
// through one is caught by the hardware.
inline std::byte* const kNoMemory = reinterpret_cast<std::byte*>(uintptr_t{1} << 63);  // NOLINT

// Borrowed memory. Contiguous in C order, except that consecutive indices of axis 0 may be `row_stride`
// elements apart (a column block of a wider matrix). Cheap to copy; never owns.
struct View {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  int64_t row_stride = 0;  // elements from row i to row i + 1
  Device device = Device::kCpu;

  View() = default;
  View(void* data_, DType dtype_, Shape shape_, Device device_ = Device::kCpu)
      : data(data_), dtype(dtype_), shape(shape_), device(device_) {
    row_stride = 1;
    for (int i = 1; i < shape.rank(); ++i) row_stride *= shape[i];
  }
  bool empty() const { return data == nullptr; }
  int64_t rows() const { return shape[0]; }
  template <class T>
  T* as() const {
    BOLIDE_CHECK(kDTypeOf<T> == dtype, "view is {}", name_of(dtype));
    return static_cast<T*>(data);
  }
  bool contiguous() const {
    return shape.rank() == 0 || shape[0] <= 1 || row_stride * shape[0] == shape.count();
  }
  // Rows [begin, end) of axis 0.
  View slice_rows(int64_t begin, int64_t end) const;
  // Columns [begin, end) of a rank-2 view.
  View slice_columns(int64_t begin, int64_t end) const;
  // The same memory under another shape; the view must be contiguous and the counts equal.
  View reshape(Shape to) const;
};

// Owns 64-byte aligned memory (shared by copies of the Tensor). Memory is uninitialised.
class Tensor {
 public:
  Tensor() = default;
  static Tensor allocate(Shape shape, DType dtype, Device device = Device::kCpu);
  static Tensor zeros(Shape shape, DType dtype, Device device = Device::kCpu);
  // A shape that takes no memory, for counting runs (Context::counting()); its address is nobody's.
  static Tensor without_memory(Shape shape, DType dtype, Device device);

  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT: a Tensor is usable wherever memory is borrowed
  const Shape& shape() const { return view_.shape; }
  DType dtype() const { return view_.dtype; }
  size_t bytes() const { return static_cast<size_t>(view_.shape.count()) * size_of(view_.dtype); }
  bool empty() const { return view_.empty(); }
  template <class T>
  T* as() const {
    return view_.as<T>();
  }

 private:
  std::shared_ptr<std::byte> storage_;
  View view_;
};

}  // namespace bolide
