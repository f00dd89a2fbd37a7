// strided_copy() against one element at a time.
#include "checkpoint/strided_copy.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "checkpoint/builders.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

class StridedCopy : public testing::Test {
 protected:
  static constexpr size_t kFile = size_t{6} << 20;
  void SetUp() override {
    std::string text(kFile, '\0');
    std::mt19937 random(1);
    for (size_t i = 0; i + 4 <= kFile; i += 4) {
      const uint32_t word = random();
      std::memcpy(text.data() + i, &word, 4);
    }
    path_ = folder_.put("data", text);
    bytes_ = std::move(text);
  }

  // Every element of the box where it belongs, and nothing else written. `into` has the strides of C order
  // with `gap` elements between rows.
  void check(size_t offset, const Shape& extents, const std::vector<int64_t>& src_elements, size_t element,
             int64_t gap = 0) const {
    const InputFile file(path_);
    ByteStrides src{}, into{};
    auto stride = static_cast<int64_t>(element);
    for (int i = extents.rank() - 1; i >= 0; --i) {
      src[i] = src_elements[static_cast<size_t>(i)] * static_cast<int64_t>(element);
      into[i] = stride;
      stride = stride * extents[i] + gap * static_cast<int64_t>(element);
    }
    std::vector<std::byte> expected(static_cast<size_t>(stride), std::byte{0xA5}), got = expected;
    for (int64_t linear = 0; linear < extents.count(); ++linear) {
      int64_t rest = linear, from = static_cast<int64_t>(offset), to = 0;
      for (int i = extents.rank() - 1; i >= 0; --i) {
        from += rest % extents[i] * src[i];
        to += rest % extents[i] * into[i];
        rest /= extents[i];
      }
      std::memcpy(expected.data() + to, bytes_.data() + from, element);
    }
    strided_copy({.file = file,
                  .offset = offset,
                  .extents = extents,
                  .src_strides = src,
                  .into = got.data(),
                  .into_strides = into,
                  .element_bytes = element});
    EXPECT_TRUE(got == expected) << extents.str() << " of " << element;
  }

  TempFolder folder_;
  std::filesystem::path path_;
  std::string bytes_;
};

TEST_F(StridedCopy, WholeTensorsAndSlices) {
  check(8, {}, {}, 4);
  check(3, {7}, {1}, 1);
  check(16, {300, 1000}, {1000, 1}, 4);          // one run
  check(16, {300, 1000}, {1000, 1}, 4, 3);       // the same, rows apart in memory
  check(16, {300, 100}, {1000, 1}, 4);           // narrow columns: through the buffer
  check(16, {100, 10000}, {12000, 1}, 4);        // wide columns, runs of 40 kB
  check(16, {200, 10}, {7000, 1}, 4);            // far apart: a read each
  check(0, {3, 2, 5, 4}, {400, 150, 25, 6}, 8);  // holes on every axis
  check(100, {kFile / 4 - 100}, {1}, 4);         // more than the buffer, one run
  check(4, {700'000}, {2}, 4);                   // more than the buffer, every other element
  check(2, {3000, 400}, {900, 2}, 2);
  check(0, {50, 3}, {0, 2}, 4);  // each row the same one
  check(8, {50}, {0}, 4);
}

TEST_F(StridedCopy, OtherOrdersThanTheFile) {
  check(40, {300, 500}, {1, 300}, 4);    // saved transposed, all of it
  check(40, {100, 50}, {1, 10'000}, 4);  // a part: columns far apart
  check(0, {5, 6, 7}, {1, 35, 5}, 8);
  check(0, {500, 1, 2, 800}, {1, 77, 500 * 800, 500}, 2);
  for (size_t element : {1, 2, 4, 8}) check(24, {30, 40}, {1, 31}, element);
}

TEST_F(StridedCopy, StridesThatOverlapOrStandStill) {
  check(24, {10, 10}, {0, 1}, 4);
  check(24, {10, 10}, {1, 0}, 4);
  check(24, {50, 10}, {3, 1}, 2);            // windows
  check(24, {1, 9}, {INT64_MAX / 8, 1}, 2);  // never stepped along
}

TEST_F(StridedCopy, RandomBoxes) {
  std::mt19937 random(7);
  const auto up_to = [&](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most)) + 1;
  };
  for (int i = 0; i < 300; ++i) {
    const size_t element = size_t{1} << (random() % 4);
    const int rank = static_cast<int>(up_to(4));
    std::vector<int> order(static_cast<size_t>(rank));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<int64_t> extents(static_cast<size_t>(rank)), strides(static_cast<size_t>(rank));
    int64_t span = 1;
    for (int axis : order) {
      const auto a = static_cast<size_t>(axis);
      extents[a] = up_to(12);
      strides[a] = span + (random() % 3 ? 0 : up_to(i % 2 ? 3 : 3000));
      span += (extents[a] - 1) * strides[a];
    }
    if (static_cast<size_t>(span) * element + 8 > kFile) continue;
    check(random() % 8, Shape(extents), strides, element, static_cast<int64_t>(random() % 2));
  }
}

TEST_F(StridedCopy, EmptyBoxesReadNothing) {
  const InputFile file(path_);
  strided_copy({.file = file,
                .offset = 5 * kFile,
                .extents = {3, 0},
                .src_strides = {},
                .into = nullptr,
                .into_strides = {},
                .element_bytes = 4});
}

}  // namespace
}  // namespace bolide
