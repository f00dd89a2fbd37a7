// plan_blocks against a plain index formula: whatever the layout, the ranks and the block size, element (row,
// col) of the local canonical weight must be the one that the definition of the layout names.
#include "weights/block_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bolide {
namespace {

struct Case {
  Shape shape;
  Shard shard;
  int64_t segments, heads;
  Layout layout;
  int ranks;
  int64_t max_elements;
};

// The value that stands for canonical element (segment, row within it, col).
float value_of(int64_t segment, int64_t row, int64_t col) {
  return static_cast<float>(segment * 1000000 + row * 1000 + col);
}

// The checkpoint's tensor as the layout orders it.
std::vector<float> make_source(const Case& c) {
  const int64_t rows = c.shape[0] / c.segments, cols = c.shape.rank() == 2 ? c.shape[1] : 1;
  const int64_t head_size = rows / c.heads;
  std::vector<float> values(static_cast<size_t>(c.shape.count()));
  for (int64_t s = 0; s < c.segments; ++s) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t k = 0; k < cols; ++k) {
        int64_t at = (s * rows + r) * cols + k;
        if (c.layout == Layout::kTransposed) at = (k * c.segments + s) * rows + r;
        if (c.layout == Layout::kHeadInterleaved) {
          at = ((r / head_size * c.segments + s) * head_size + r % head_size) * cols + k;
        }
        values[static_cast<size_t>(at)] = value_of(s, r, k);
      }
    }
  }
  return values;
}

// Copies a box out of a C-order tensor, one element at a time.
std::vector<float> read_box(const std::vector<float>& values, const Shape& shape, const Slice& slice) {
  std::vector<float> out;
  for (int64_t linear = 0; linear < shape.count(); ++linear) {
    int64_t rest = linear;
    bool inside = true;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      const int64_t at = rest % shape[axis];
      rest /= shape[axis];
      inside = inside && at >= slice.begin[axis] && at < slice.end[axis];
    }
    if (inside) out.push_back(values[static_cast<size_t>(linear)]);
  }
  return out;
}

void check(const Case& c) {
  const Slot slot{.shape = c.shape,
                  .shard = c.shard,
                  .segments = c.segments,
                  .heads = c.heads,
                  .into = static_cast<Tensor*>(nullptr)};
  const std::vector<float> source = make_source(c);
  const Shape shape = source_shape(slot, c.layout);
  ASSERT_EQ(shape.count(), c.shape.count());
  for (int rank = 0; rank < c.ranks; ++rank) {
    const Dist dist{.tensor_size = c.ranks, .tensor_rank = rank};
    const Shape local = local_shape(slot, dist);
    const int64_t cols = local.rank() == 2 ? local[1] : 1;
    std::vector<float> got(static_cast<size_t>(local.count()), NAN);
    int64_t largest = 0;
    for (const BlockRead& read : plan_blocks(slot, c.layout, dist, c.max_elements)) {
      const std::vector<float> data = read_box(source, shape, read.slice);
      ASSERT_EQ(static_cast<int64_t>(data.size()), read.shape.count());
      // As few reads as the bound allows: one unit (a row, a head, an input) or as many as fit.
      const int64_t unit = std::max<int64_t>(c.layout == Layout::kHeadInterleaved
                                                 ? c.segments * (c.shape[0] / c.segments / c.heads) * cols
                                                 : cols,
                                             1);
      if (local.rank() == 2 && c.layout != Layout::kTransposed) {
        EXPECT_LE(read.shape.count(), std::max(c.max_elements, unit));
        largest = std::max(largest, read.shape.count());
        EXPECT_GT(read.shape.count(), 0);
      }
      for (const BlockRead::Part& part : read.parts) {
        for (int64_t i = 0; i < part.rows; ++i) {
          for (int64_t j = 0; j < part.cols; ++j) {
            const int64_t row = part.row0 + (read.transposed ? j : i),
                          col = part.col0 + (read.transposed ? i : j);
            got.at(static_cast<size_t>(row * cols + col)) =
                data.at(static_cast<size_t>(part.offset + i * part.row_stride + j));
          }
        }
      }
    }
    if (local.rank() == 2 && c.layout == Layout::kAsIs && local.count() > 0) {
      EXPECT_GE(largest + cols, std::min(c.max_elements, local.count() / c.segments));
    }
    const int64_t whole_rows = c.shape[0] / c.segments, local_rows = local[0] / c.segments;
    const bool by_row = c.shard == Shard::kOut || c.shard == Shard::kVocab;
    const int64_t first_row = c.shard == Shard::kVocab ? dist.vocab_part(whole_rows).begin
                              : by_row                 ? rank * local_rows
                                                       : 0;
    const int64_t first_col = c.shard == Shard::kIn ? rank * cols : 0;
    for (int64_t s = 0; s < c.segments; ++s) {
      for (int64_t r = 0; r < local_rows; ++r) {
        for (int64_t k = 0; k < cols; ++k) {
          ASSERT_EQ(got[static_cast<size_t>((s * local_rows + r) * cols + k)],
                    value_of(s, first_row + r, first_col + k))
              << "rank " << rank << " segment " << s << " row " << r << " col " << k;
        }
      }
    }
  }
}

TEST(BlockPlan, MatricesAsIs) {
  for (int64_t block : {1, 7, 1000}) {
    check({{12, 10}, Shard::kNone, 1, 1, Layout::kAsIs, 3, block});
    check({{12, 10}, Shard::kOut, 3, 2, Layout::kAsIs, 2, block});
    check({{12, 10}, Shard::kIn, 1, 1, Layout::kAsIs, 5, block});
    check({{11, 4}, Shard::kVocab, 1, 1, Layout::kAsIs, 3, block});
    check({{1, 4}, Shard::kVocab, 1, 1, Layout::kAsIs, 3, block});  // ranks without a row
  }
}

TEST(BlockPlan, MatricesTransposedWithSegments) {
  for (int64_t block : {1, 13, 1000}) {
    check({{24, 8}, Shard::kOut, 3, 4, Layout::kTransposed, 4, block});
    check({{24, 8}, Shard::kNone, 3, 4, Layout::kTransposed, 1, block});
    check({{6, 12}, Shard::kIn, 1, 1, Layout::kTransposed, 3, block});
  }
}

TEST(BlockPlan, HeadInterleaved) {
  for (int64_t block : {1, 40, 1000}) {
    check({{36, 12}, Shard::kOut, 3, 6, Layout::kHeadInterleaved, 3, block});
    check({{36, 12}, Shard::kOut, 3, 3, Layout::kHeadInterleaved, 1, block});
  }
}

TEST(BlockPlan, Vectors) {
  for (int64_t block : {1, 5, 1000}) {
    check({{24}, Shard::kOut, 3, 4, Layout::kTransposed, 4, block});
    check({{24}, Shard::kOut, 1, 4, Layout::kTransposed, 2, block});
    check({{24}, Shard::kNone, 1, 1, Layout::kAsIs, 2, block});
    check({{36}, Shard::kOut, 3, 6, Layout::kHeadInterleaved, 2, block});
  }
}

}  // namespace
}  // namespace bolide
