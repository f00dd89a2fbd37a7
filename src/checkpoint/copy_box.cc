#include "checkpoint/copy_box.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace bolide {
namespace {

// Mapped pages are given back in steps of this many bytes: far above the cost of the system call (about 1
// us), far below what would show in the process's memory.
constexpr size_t kReleaseStep = size_t{8} << 20;
// Boxes under this are left to the page cache: their pages are likely shared with the next tensor.
constexpr size_t kReleaseLeast = size_t{256} << 10;

struct Axis {
  int64_t extent, src, into;
};

// The box with axes of extent 1 dropped and neighbours merged where both sides run on contiguously.
struct Plan {
  std::array<Axis, Shape::kMaxRank> axes;
  int rank = 0;
  size_t src_span;  // bytes from the first to past the last source element
  bool ascending;   // source addresses only grow during the copy
};

Plan make_plan(const BoxCopy& box) {
  Plan plan;
  plan.src_span = box.element_bytes;
  for (int i = 0; i < box.extents.rank(); ++i) {
    const Axis axis{box.extents[i], box.src_strides[i], box.into_strides[i]};
    if (axis.extent == 1) continue;
    plan.src_span += static_cast<size_t>((axis.extent - 1) * axis.src);
    Axis* last = plan.rank ? &plan.axes[plan.rank - 1] : nullptr;
    if (last && last->src == axis.extent * axis.src && last->into == axis.extent * axis.into) {
      *last = {last->extent * axis.extent, axis.src, axis.into};
    } else {
      plan.axes[plan.rank++] = axis;
    }
  }
  plan.ascending = true;
  for (int i = 0; i + 1 < plan.rank; ++i)
    plan.ascending &= plan.axes[i].src >= plan.axes[i + 1].extent * plan.axes[i + 1].src;
  return plan;
}

class Copier {
 public:
  Copier(const BoxCopy& box, const Plan& plan) : box_(box), plan_(plan) {}

  void run() {
    const Axis* inner = plan_.rank ? &plan_.axes[plan_.rank - 1] : nullptr;
    const auto element = static_cast<int64_t>(box_.element_bytes);
    runs_ = !inner || (inner->src == element && inner->into == element);
    run_bytes_ =
        inner && runs_ ? static_cast<size_t>(inner->extent) * box_.element_bytes : box_.element_bytes;
    released_ = box_.offset;
    walk(0, box_.offset, box_.into);
    if (plan_.src_span >= kReleaseLeast)
      box_.file.release(released_, box_.offset + plan_.src_span - released_);
  }

 private:
  void walk(int axis, size_t from, std::byte* to) {
    if (axis >= plan_.rank - (runs_ ? 1 : 0)) {
      copy_run(from, to);
      return;
    }
    const Axis& a = plan_.axes[axis];
    if (axis == plan_.rank - 1) {
      scatter(a, from, to);
      return;
    }
    for (int64_t i = 0; i < a.extent; ++i)
      walk(axis + 1, from + static_cast<size_t>(i * a.src), to + i * a.into);
  }

  void copy_run(size_t from, std::byte* to) {
    for (size_t done = 0; done < run_bytes_;) {
      const size_t step = std::min(run_bytes_ - done, kReleaseStep);
      std::memcpy(to + done, box_.file.bytes().data() + from + done, step);
      done += step;
      passed(from + done);
    }
  }

  // The innermost axis when it is not contiguous on both sides (a tensor saved transposed).
  void scatter(const Axis& a, size_t from, std::byte* to) {
    const std::byte* src = box_.file.bytes().data() + from;
    auto loop = [&]<size_t kBytes>() {
      for (int64_t i = 0; i < a.extent; ++i) std::memcpy(to + i * a.into, src + i * a.src, kBytes);
    };
    switch (box_.element_bytes) {
      case 1:
        return loop.template operator()<1>();
      case 2:
        return loop.template operator()<2>();
      case 4:
        return loop.template operator()<4>();
      case 8:
        return loop.template operator()<8>();
      default:
        BOLIDE_CHECK(false, "element of {} bytes", box_.element_bytes);
    }
  }

  void passed(size_t offset) {
    if (!plan_.ascending || offset < released_ + kReleaseStep) return;
    box_.file.release(released_, offset - released_);
    released_ = offset;
  }

  const BoxCopy& box_;
  const Plan& plan_;
  bool runs_ = true;  // the innermost axis is contiguous on both sides
  size_t run_bytes_ = 0;
  size_t released_ = 0;
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

void copy_box(const BoxCopy& box) {
  if (box.extents.count() == 0) return;
  const Plan plan = make_plan(box);
  BOLIDE_CHECK(box.offset <= box.file.size() && plan.src_span <= box.file.size() - box.offset);
  Copier(box, plan).run();
}

}  // namespace bolide
