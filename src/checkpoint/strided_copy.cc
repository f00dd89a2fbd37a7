#include "checkpoint/strided_copy.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace bolide {
namespace {

// Reading over a hole of this size costs about as much as one more system call.
constexpr int64_t kHole = 8 << 10;
// A run of this size is worth a system call of its own: it needs no second copy then.
constexpr int64_t kLongRun = 16 << 10;
constexpr int64_t kBuffer = 1 << 20;

struct Axis {
  int64_t extent, src, into;
};

class Copier {
 public:
  explicit Copier(const BoxCopy& box) : box_(box), element_(static_cast<int64_t>(box.element_bytes)) {
    std::array<Axis, Shape::kMaxRank> axes;
    int count = 0;
    for (int i = 0; i < box.extents.rank(); ++i)
      if (box.extents[i] != 1) axes[count++] = {box.extents[i], box.src_strides[i], box.into_strides[i]};
    // In the order of the file, whatever order the tensor has in memory.
    std::stable_sort(axes.begin(), axes.begin() + count,
                     [](const Axis& a, const Axis& b) { return a.src > b.src; });
    for (int i = 0; i < count; ++i) {
      const Axis& axis = axes[i];
      Axis* last = rank_ ? &axes_[rank_ - 1] : nullptr;
      if (last && last->src == axis.extent * axis.src && last->into == axis.extent * axis.into) {
        *last = {last->extent * axis.extent, axis.src, axis.into};  // both sides run on
      } else {
        axes_[rank_++] = axis;
      }
    }
    span_[rank_] = element_;
    close_[rank_] = true;
    for (int i = rank_ - 1; i >= 0; --i) {
      span_[i] = span_[i + 1] + (axes_[i].extent - 1) * axes_[i].src;
      close_[i] = close_[i + 1] && axes_[i].src <= span_[i + 1] + kHole;
    }
  }

  int64_t span() const { return span_[0]; }
  void run() { read(0, box_.offset, box_.into); }

 private:
  // The axes from `axis` on are one run of bytes on both sides.
  bool is_run(int axis) const {
    return axis == rank_ ||
           (axis == rank_ - 1 && axes_[axis].src == element_ && axes_[axis].into == element_);
  }

  // Not inlined into themselves, read() and copy(): g++ 13 then sees axes that there are not, and warns.
  [[gnu::noinline]] void read(int axis, size_t from, std::byte* to) {
    if (is_run(axis)) {
      box_.file.read(from, {to, static_cast<size_t>(span_[axis])});
      return;
    }
    const Axis& a = axes_[axis];
    const bool long_runs = is_run(axis + 1) && span_[axis + 1] >= kLongRun;
    int64_t step = 1;  // indices of this axis that are read at once
    const bool buffered = close_[axis] && !long_runs && span_[axis + 1] <= kBuffer;
    if (buffered) step += (kBuffer - span_[axis + 1]) / std::max<int64_t>(a.src, 1);
    for (int64_t i = 0; i < a.extent; i += step) {
      const size_t begin = from + static_cast<size_t>(i * a.src);
      if (buffered) {
        read_through_buffer(axis, std::min(step, a.extent - i), begin, to + i * a.into);
      } else {
        read(axis + 1, begin, to + i * a.into);
      }
    }
  }

  void read_through_buffer(int axis, int64_t count, size_t from, std::byte* to) {
    const int64_t bytes = span_[axis + 1] + (count - 1) * axes_[axis].src;
    if (!buffer_) {
      buffer_bytes_ = std::min(kBuffer, span_[axis]);
      buffer_ = std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(buffer_bytes_));
    }
    BOLIDE_CHECK(bytes <= buffer_bytes_);
    box_.file.read(from, {buffer_.get(), static_cast<size_t>(bytes)});
    copy(axis, count, buffer_.get(), to);
  }

  // `count` indices of this axis, out of the buffer.
  [[gnu::noinline]] void copy(int axis, int64_t count, const std::byte* from, std::byte* to) {
    const Axis& a = axes_[axis];
    if (axis == rank_ - 1) {
      copy_elements(a, count, from, to);
      return;
    }
    for (int64_t i = 0; i < count; ++i, from += a.src, to += a.into) {
      if (is_run(axis + 1)) {
        std::memcpy(to, from, static_cast<size_t>(span_[axis + 1]));
      } else {
        copy(axis + 1, axes_[axis + 1].extent, from, to);
      }
    }
  }

  void copy_elements(const Axis& a, int64_t count, const std::byte* from, std::byte* to) const {
    auto loop = [&]<size_t kBytes>() {
      for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * a.into, from + i * a.src, kBytes);
    };
    switch (element_) {
      case 1:
        return loop.template operator()<1>();
      case 2:
        return loop.template operator()<2>();
      case 4:
        return loop.template operator()<4>();
      case 8:
        return loop.template operator()<8>();
      default:
        BOLIDE_CHECK(false, "element of {} bytes", element_);
    }
  }

  const BoxCopy& box_;
  const int64_t element_;
  std::array<Axis, Shape::kMaxRank> axes_;  // merged, in the order of the file
  int rank_ = 0;
  // Of the axes from i on: bytes from the first to past the last element, and whether no hole in there is
  // worth leaving out.
  std::array<int64_t, Shape::kMaxRank + 1> span_;
  std::array<bool, Shape::kMaxRank + 1> close_;
  std::unique_ptr<std::byte[]> buffer_;
  int64_t buffer_bytes_ = 0;
};

}  // namespace

ByteStrides c_order(const Shape& shape, size_t element_bytes) {
  ByteStrides strides{};
  auto stride = static_cast<int64_t>(element_bytes);
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

void strided_copy(const BoxCopy& box) {
  if (box.extents.count() == 0) return;
  Copier copier(box);
  BOLIDE_CHECK(box.offset <= box.file.size() &&
               copier.span() <= static_cast<int64_t>(box.file.size() - box.offset));
  copier.run();
}

}  // namespace bolide
