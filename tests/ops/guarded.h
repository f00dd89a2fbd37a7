#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "ops/ref/element.h"
#include "tensor/device.h"

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

// The most by which rounding to a type moves a value, as a share of it.
inline double half_ulp(DType dtype) {
  return dtype == DType::kF16 ? 0x1p-11 : dtype == DType::kBF16 ? 0x1p-8 : 0x1p-24;
}

// Half an ulp of fp32 is 6e-8; sums of a few thousand terms of random sign, in blocks, stay well under this
// share of the sum of magnitudes.
inline constexpr double kSumError = 1e-6;

// Made by the oracle when first asked for, and kept: it takes longer than the runs compared with it.
template <class T>
class Kept {
 public:
  template <class Make>
  const T& get(const Make& make) const {
    if (!made_) made_ = make();
    return *made_;
  }

 private:
  mutable std::optional<T> made_;
};

// Host memory and its copy in the memory of a context's device: on the CPU the same thing.
class Mirrored {
 public:
  Mirrored() = default;
  explicit Mirrored(Tensor host) : host_(std::move(host)) {}
  template <class T>
  explicit Mirrored(const std::vector<T>& values)
      : host_(Tensor::allocate({static_cast<int64_t>(values.size() * sizeof(T))}, DType::kU8)) {
    if (!values.empty()) std::memcpy(host_.view().data, values.data(), host_.bytes());
  }

  const Tensor& host() const { return host_; }
  // The copy is made on first use, and again by bring(). fetch() waits.
  const Tensor& on(const Context& context) const {
    if (context.device == Device::kCpu) return host_;
    if (device_.empty()) bring(context);
    return device_;
  }
  void bring(const Context& context) const {
    if (context.device == Device::kCpu) return;
    if (device_.empty()) device_ = Tensor::allocate(host_.shape(), host_.dtype(), context.device);
    copy_to_device(context, device_.view().data, host_.view().data, host_.bytes());
  }
  void fetch(const Context& context) {
    if (context.device == Device::kCpu) return;
    copy_to_host(context, host_.view().data, device_.view().data, host_.bytes());
    synchronize(context);
  }
  template <class T>
  std::span<T> span(const Context& context) const {
    return {static_cast<T*>(on(context).view().data), host_.bytes() / sizeof(T)};
  }

 private:
  Tensor host_;
  mutable Tensor device_;
};

// A matrix with strided rows inside guards. poison() fills all of it, guards and gaps between rows included,
// with one NaN pattern; after a run every element must differ from it and everything else be equal to it, on
// whatever device it ran.
class Guarded {
 public:
  Guarded() = default;
  Guarded(int64_t rows, int64_t columns, int64_t gap, DType dtype = DType::kF32)
      : memory_(Tensor::allocate({kGuard + rows * (columns + gap) + kGuard}, dtype)),
        rows_(rows),
        columns_(columns),
        stride_(columns + gap) {
    poison();
  }
  static Guarded random(int64_t rows, int64_t columns, int64_t gap, Source& source, float scale = 1,
                        DType dtype = DType::kF32) {
    Guarded made(rows, columns, gap, dtype);
    // Of more than a million, values repeat at a prime length: to draw a benchmark's would take minutes.
    std::vector<float> pool(static_cast<size_t>(rows * columns <= 1 << 20 ? rows * columns : 65521));
    for (float& value : pool) value = scale * source.normal();
    size_t next = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c, next = next + 1 < pool.size() ? next + 1 : 0)
        made.set(r, c, pool[next]);
    return made;
  }

  void poison() {
    for (int64_t i = 0; i < size(); ++i) std::memcpy(at(i), &kPoison, width());
  }
  // Copies the elements of another of the same shape and type, the guards stay.
  void assign(const Guarded& other) {
    BOLIDE_CHECK(rows_ == other.rows_ && columns_ == other.columns_ && dtype() == other.dtype());
    for (int64_t r = 0; r < rows_; ++r)
      std::memcpy(at(kGuard + r * stride_), other.at(kGuard + r * other.stride_),
                  static_cast<size_t>(columns_) * width());
  }
  DType dtype() const { return memory_.host().dtype(); }
  float* row(int64_t r) const { return memory_.host().as<float>() + kGuard + r * stride_; }
  double get(int64_t r, int64_t c) const { return ref::element(view(), r, c); }
  void set(int64_t r, int64_t c, float value) {
    dispatch_float(
        dtype(), [&]<class T>() { memory_.host().as<T>()[kGuard + r * stride_ + c] = from_float<T>(value); });
  }

  View view() const { return view_of(memory_.host()); }
  View vector() const { return vector_of(view()); }
  // The same in the memory of a context's device, see Mirrored.
  View view(const Context& context) const { return view_of(memory_.on(context)); }
  View vector(const Context& context) const { return vector_of(view(context)); }
  void bring(const Context& context) const { memory_.bring(context); }
  void fetch(const Context& context) { memory_.fetch(context); }

  // "" or what is wrong: an element left unwritten, something written outside.
  std::string check_written() const {
    for (int64_t i = 0; i < size(); ++i) {
      const int64_t place = i - kGuard;
      const bool inside = place >= 0 && place < rows_ * stride_ && place % stride_ < columns_;
      if (inside == (std::memcmp(at(i), &kPoison, width()) == 0))
        return fmt::format("element {} of row {} {}", place % stride_, place / stride_,
                           inside ? "was not written" : "is outside and was written");
    }
    return "";
  }
  // "" or the first element off by more than `relative` * its bound, and what rounding to the type costs.
  // Bounds: one for each expected value.
  std::string compare(const std::vector<double>& expected, const std::vector<double>& bound,
                      double relative) const {
    // Below 2^-14 fp16 has a fixed distance of 2^-24.
    const double tiny = dtype() == DType::kF16 ? 0x1p-25 : 0,
                 share = dtype() == DType::kF32 ? 0 : half_ulp(dtype());
    for (int64_t i = 0; i < rows_ * columns_; ++i) {
      const double got = get(i / columns_, i % columns_), want = expected[static_cast<size_t>(i)];
      if (std::isnan(want)) {
        if (!std::isnan(got))
          return fmt::format("[{}, {}] is {} instead of NaN", i / columns_, i % columns_, got);
        continue;
      }
      const double before = relative * bound[static_cast<size_t>(i)];
      const double allowed = before + tiny + share * (std::abs(want) + before);
      if (!(std::abs(got - want) <= allowed))
        return fmt::format("[{}, {}] is {} instead of {}: off by {:.3g}, allowed {:.3g}", i / columns_,
                           i % columns_, got, want, std::abs(got - want), allowed);
    }
    return "";
  }
  std::vector<std::byte> bytes() const {
    const auto* begin = static_cast<const std::byte*>(memory_.host().view().data);
    return {begin, begin + memory_.host().bytes()};
  }

 private:
  static constexpr int64_t kGuard = 32;
  // A quiet NaN that arithmetic does not make, in fp32 and, the lower half of it, in fp16 and bf16.
  static constexpr uint32_t kPoison = 0x7FC07FED;

  size_t width() const { return size_of(dtype()); }
  int64_t size() const { return memory_.host().shape()[0]; }
  std::byte* at(int64_t i) const {
    return static_cast<std::byte*>(memory_.host().view().data) + static_cast<size_t>(i) * width();
  }
  View view_of(const Tensor& memory) const {
    auto* data = static_cast<std::byte*>(memory.view().data) + kGuard * width();
    View v(data, memory.dtype(), {rows_, columns_}, memory.view().device);
    v.row_stride = stride_;
    return v;
  }
  View vector_of(const View& v) const { return {v.data, v.dtype, {columns_}, v.device}; }

  Mirrored memory_;
  int64_t rows_ = 0, columns_ = 0, stride_ = 0;
};

}  // namespace bolide::test
