#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "support/expect_check.h"
#include "support/expect_error.h"
#include "tensor/allocator.h"
#include "tensor/arena.h"

namespace bolide {
namespace {

TEST(Shape, CountsBeyond32Bits) {
  const Shape embedding{250880, 14336};  // BLOOM-176B's
  EXPECT_EQ(embedding.count(), int64_t{250880} * 14336);
  EXPECT_GT(embedding.count(), std::numeric_limits<int32_t>::max());
  EXPECT_EQ(Shape{}.count(), 1);
  EXPECT_EQ((Shape{3, 0, 5}).count(), 0);
}

TEST(Shape, AxesFromEitherEnd) {
  Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape[-3], shape[0]);
  shape[-1] = 7;
  EXPECT_EQ(shape, (Shape{2, 3, 7}));
  EXPECT_EQ(shape.str(), "[2, 3, 7]");
  EXPECT_FALSE(shape == (Shape{2, 3}));
  EXPECT_FALSE((Shape{1}) == Shape{});
}

TEST(ShapeDeathTest, RefusesMoreAxesThanItHolds) {
  const int64_t extents[] = {1, 1, 1, 1, 1, 1, 1};
  EXPECT_CHECK(Shape{std::span<const int64_t>(extents)}, "kMaxRank");
}

Tensor counting(Shape shape) {
  Tensor made = Tensor::allocate(shape, DType::kF32);
  std::iota(made.as<float>(), made.as<float>() + shape.count(), 0.0f);
  return made;
}

TEST(View, RowSlicesShareMemory) {
  const Tensor whole = counting({5, 4});
  const View rows = whole.view().slice_rows(1, 3);
  EXPECT_EQ(rows.shape, (Shape{2, 4}));
  EXPECT_EQ(rows.as<float>()[0], 4.0f);
  EXPECT_TRUE(rows.contiguous());
  EXPECT_EQ(whole.view().slice_rows(5, 5).shape[0], 0);
  rows.as<float>()[0] = -1;
  EXPECT_EQ(whole.as<float>()[4], -1.0f);
}

TEST(View, ColumnSlicesKeepTheRowStride) {
  const Tensor whole = counting({5, 4});
  const View block = whole.view().slice_columns(1, 3);
  EXPECT_EQ(block.shape, (Shape{5, 2}));
  EXPECT_EQ(block.row_stride, 4);
  EXPECT_FALSE(block.contiguous());
  EXPECT_EQ(block.as<float>()[2 * block.row_stride + 1], 10.0f);
  const View inner = block.slice_rows(2, 4).slice_columns(1, 2);
  EXPECT_EQ(inner.as<float>()[0], 10.0f);
  EXPECT_EQ(inner.as<float>()[inner.row_stride], 14.0f);
  EXPECT_TRUE(whole.view().slice_columns(1, 3).slice_rows(0, 1).contiguous());  // one row always is
}

TEST(View, ReshapeKeepsOrder) {
  const Tensor whole = counting({5, 4});
  const View flat = whole.view().reshape({2, 2, 5});
  EXPECT_EQ(flat.shape, (Shape{2, 2, 5}));
  EXPECT_EQ(flat.row_stride, 10);
  EXPECT_EQ(flat.as<float>()[19], 19.0f);
}

TEST(ViewDeathTest, OurOwnFaultsAbort) {
  const Tensor whole = counting({5, 4});
  EXPECT_CHECK(whole.view().slice_rows(3, 6), "shape[0]");
  EXPECT_CHECK(whole.view().slice_rows(-1, 2), "begin");
  EXPECT_CHECK(whole.view().slice_columns(2, 5), "shape[1]");
  EXPECT_CHECK(whole.view().reshape({3, 7}), "[5, 4] to [3, 7]");
  EXPECT_CHECK(whole.view().slice_columns(0, 2).reshape({10}), "contiguous");
  EXPECT_CHECK(whole.view().as<f16>(), "view is fp32");
}

TEST(Tensor, MemoryIsAlignedSharedAndZeroedOnRequest) {
  const Tensor small = Tensor::zeros({3, 5}, DType::kF16);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small.view().data) % 64, 0u);
  EXPECT_EQ(small.bytes(), 30u);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(small.as<f16>()[i].bits, 0);
  const Tensor copy = small;
  EXPECT_EQ(copy.view().data, small.view().data);
  EXPECT_TRUE(Tensor().empty());
  EXPECT_FALSE(Tensor::allocate({0, 4}, DType::kF32).empty());
}

TEST(Tensor, ImpossibleSizesAreErrors) {
  const int64_t huge = int64_t{1} << 62;
  EXPECT_ERROR(Tensor::allocate({huge, 4}, DType::kF32), ErrorCode::kResource, "cannot allocate");
  EXPECT_ERROR(Tensor::allocate({-1}, DType::kF32), ErrorCode::kResource, "[-1]");
  EXPECT_ERROR(allocate_host(std::numeric_limits<size_t>::max() - 8), ErrorCode::kResource,
               "cannot allocate");
  EXPECT_ERROR(Tensor::allocate({4}, DType::kF32, Device::kCuda), ErrorCode::kUnsupported, "--device cpu");
}

TEST(Allocator, CountsWhatLives) {
  const size_t before = host_bytes_in_use();
  {
    auto memory = allocate_host(1000);
    EXPECT_EQ(host_bytes_in_use(), before + 1024);
    auto large = allocate_host(size_t{3} << 20);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(large.get()) % (size_t{2} << 20), 0u);
    EXPECT_EQ(host_bytes_in_use(), before + 1024 + (size_t{4} << 20));
  }
  EXPECT_EQ(host_bytes_in_use(), before);
  EXPECT_GE(host_bytes_peak(), before + 1024 + (size_t{4} << 20));
}

TEST(Arena, TakesApartAndAligned) {
  Arena arena;
  Arena::Scope scope(arena);
  const View a = arena.take({3, 5}, DType::kF32);
  const View b = arena.take({7}, DType::kF16);
  const auto begin = reinterpret_cast<uintptr_t>(a.data), next = reinterpret_cast<uintptr_t>(b.data);
  EXPECT_EQ(begin % 64, 0u);
  EXPECT_EQ(next % 64, 0u);
  EXPECT_GE(next, begin + 60);
  EXPECT_EQ(b.dtype, DType::kF16);
  EXPECT_EQ(b.shape, (Shape{7}));
}

TEST(Arena, AScopeGivesItsMemoryToTheNext) {
  Arena arena;
  Arena::Scope outer(arena);
  const View kept = arena.take({16}, DType::kF32);
  kept.as<float>()[15] = 42;
  void* first = nullptr;
  for (int layer = 0; layer < 3; ++layer) {
    Arena::Scope scope(arena);
    const View scratch = arena.take({1024, 1024}, DType::kF32);  // does not fit beside `kept` in one block
    const View more = arena.take({100}, DType::kF32);
    if (layer == 0) first = scratch.data;
    EXPECT_EQ(scratch.data, first);
    EXPECT_NE(more.data, scratch.data);
    std::fill_n(scratch.as<float>(), scratch.shape.count(), -1.0f);
  }
  EXPECT_EQ(kept.as<float>()[15], 42.0f);
}

TEST(Arena, EverLargerStepsLeaveNoBlocksBehind) {
  const size_t before = host_bytes_in_use();
  Arena arena;
  for (int64_t rows = 1000; rows < 2000; rows += 7) {
    Arena::Scope scope(arena);
    arena.take({rows, 1000}, DType::kF32);
    arena.take({10}, DType::kF32);
    Arena::Scope inner(arena);
    arena.take({rows, 2000}, DType::kF32);
  }
  // 24 MB in the last step; a quarter more, and the blocks of a step that grew.
  EXPECT_LT(host_bytes_in_use() - before, size_t{60} << 20);
}

TEST(Arena, StopsGrowingOnceWarm) {
  Arena arena;
  auto layer = [&] {
    Arena::Scope scope(arena);
    for (int64_t rows : {1, 700, 3000, 20}) arena.take({rows, 1000}, DType::kF32);
  };
  layer();  // takes several blocks
  layer();  // takes one in their place
  const size_t warm = host_bytes_in_use();
  for (int i = 0; i < 5; ++i) layer();
  EXPECT_EQ(host_bytes_in_use(), warm);
}

}  // namespace
}  // namespace bolide
