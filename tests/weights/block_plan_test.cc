// plan_blocks against a plain index formula: whatever the layout, the ranks and the block size, element (row,
// col) of the local canonical weight must be the one that the definition of the layout names.
#include "weights/block_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace bolide {
namespace {

struct Case {
  int64_t cols;  // 0: a vector
  Shard shard;
  std::vector<WeightPart> parts;
  Layout layout;
  int ranks;
  int64_t max_elements;
};

// The value that stands for canonical element (part, row within it, col).
float value_of(size_t part, int64_t row, int64_t col) {
  return static_cast<float>(static_cast<int64_t>(part) * 1000000 + row * 1000 + col);
}

// Parts and rows in the order in which the layout has them along its output axis.
std::vector<std::pair<size_t, int64_t>> stored_rows(const Case& c) {
  std::vector<std::pair<size_t, int64_t>> rows;
  int64_t groups = 1;
  if (c.layout == Layout::kHeadInterleaved) {
    groups = c.parts[0].heads;
    for (const WeightPart& part : c.parts) groups = std::min(groups, part.heads);
  }
  std::vector<size_t> order(c.parts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (c.layout == Layout::kFourBlocks) {
    groups = 4;
    order = {0, 2, 1};
  }
  for (int64_t group = 0; group < groups; ++group) {
    for (const size_t p : order) {
      const int64_t each = c.parts[p].rows / groups;
      for (int64_t r = 0; r < each; ++r) rows.emplace_back(p, group * each + r);
    }
  }
  return rows;
}

// The checkpoint's tensor as the layout orders it.
std::vector<float> make_source(const Case& c) {
  std::vector<float> values;
  const auto rows = stored_rows(c);
  const int64_t cols = std::max<int64_t>(c.cols, 1);
  const bool turned = c.layout == Layout::kTransposed || c.layout == Layout::kTransposedParts;
  if (!turned) {
    for (const auto& [part, row] : rows)
      for (int64_t k = 0; k < cols; ++k) values.push_back(value_of(part, row, k));
  } else {
    for (int64_t k = 0; k < cols; ++k)
      for (const auto& [part, row] : rows) values.push_back(value_of(part, row, k));
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

// Rows of a part that the rank must hold, by the definition of the shard.
std::vector<int64_t> rows_of(const Case& c, const WeightPart& part, int rank) {
  int64_t begin = 0, end = part.rows;
  if (c.shard == Shard::kVocab) {
    const int64_t each = (part.rows + c.ranks - 1) / c.ranks;
    begin = std::min(part.rows, rank * each);
    end = std::min(part.rows, begin + each);
  } else if (c.shard == Shard::kOut && part.heads > 0 && part.heads < c.ranks) {
    const int64_t head_size = part.rows / part.heads;
    begin = rank * part.heads / c.ranks * head_size;  // the head that the rank's queries look at
    end = begin + head_size;
  } else if (c.shard == Shard::kOut) {
    begin = rank * part.rows / c.ranks;
    end = (rank + 1) * part.rows / c.ranks;
  }
  std::vector<int64_t> rows(static_cast<size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  return rows;
}

// Puts what the reads give where they say; every element once.
void fill(const std::vector<BlockRead>& plan, const std::vector<float>& source, const Shape& shape,
          int64_t cols, std::vector<float>& got) {
  for (const BlockRead& read : plan) {
    const std::vector<float> data = read_box(source, shape, read.slice);
    ASSERT_EQ(static_cast<int64_t>(data.size()), read.shape.count());
    ASSERT_GT(data.size(), 0u);
    for (const BlockRead::Piece& piece : read.pieces) {
      for (int64_t i = 0; i < piece.rows; ++i) {
        for (int64_t j = 0; j < piece.cols; ++j) {
          const int64_t row = piece.row0 + (read.transposed ? j : i),
                        col = piece.col0 + (read.transposed ? i : j);
          float& place = got.at(static_cast<size_t>(row * cols + col));
          ASSERT_TRUE(std::isnan(place));
          place = data.at(static_cast<size_t>(piece.offset + i * piece.row_stride + j));
        }
      }
    }
  }
}

void check(const Case& c) {
  int64_t all = 0;
  for (const WeightPart& part : c.parts) all += part.rows;
  const WeightSpec spec{.name = "w",
                        .shape = c.cols > 0 ? Shape{all, c.cols} : Shape{all},
                        .shard = c.shard,
                        .parts = c.parts,
                        .into = static_cast<Tensor*>(nullptr)};
  const WeightSource source{.names = {}, .layout = c.layout, .first_part = 0, .parts = c.parts.size()};
  const Shape shape = stored_shape(spec, source);
  ASSERT_EQ(shape.count(), spec.shape.count());
  for (int rank = 0; rank < c.ranks; ++rank) {
    const Dist dist{.tensor_size = c.ranks, .tensor_rank = rank};
    const Shape local = local_shape(spec, dist);
    const int64_t cols = local.rank() == 2 ? local[1] : 1;
    const int64_t first_col = c.shard == Shard::kIn ? rank * cols : 0;
    std::vector<float> got(static_cast<size_t>(local.count()), NAN), expected;
    for (size_t p = 0; p < c.parts.size(); ++p)
      for (const int64_t row : rows_of(c, c.parts[p], rank))
        for (int64_t k = 0; k < cols; ++k) expected.push_back(value_of(p, row, first_col + k));
    const std::vector<BlockRead> plan = plan_blocks(spec, source, dist, c.max_elements);
    fill(plan, make_source(c), shape, cols, got);
    ASSERT_EQ(got, expected) << "rank " << rank;
    // As few reads as the bound allows, of tensors whose rows lie together.
    const bool turned = c.layout == Layout::kTransposed || c.layout == Layout::kTransposedParts;
    for (const BlockRead& read : plan)
      EXPECT_LE(read.shape.count(), std::max(c.max_elements, turned ? local[0] : cols));
    if (c.layout == Layout::kAsIs && c.parts.size() == 1 && cols < c.max_elements &&
        c.max_elements % cols == 0) {
      EXPECT_EQ(static_cast<int64_t>(plan.size()), (local.count() + c.max_elements - 1) / c.max_elements);
    }
  }
}

std::vector<WeightPart> one(int64_t rows) { return {{"", rows, 0}}; }
std::vector<WeightPart> qkv(int64_t heads, int64_t kv_heads, int64_t size) {
  return {{"q", heads * size, heads}, {"k", kv_heads * size, kv_heads}, {"v", kv_heads * size, kv_heads}};
}

TEST(BlockPlan, MatricesAsIs) {
  for (int64_t block : {1, 7, 40, 1000}) {
    check({10, Shard::kNone, one(12), Layout::kAsIs, 3, block});
    check({10, Shard::kOut, qkv(4, 4, 2), Layout::kAsIs, 2, block});
    check({10, Shard::kOut, {{"gate", 6, 0}, {"up", 6, 0}}, Layout::kAsIs, 3, block});
    check({10, Shard::kIn, one(12), Layout::kAsIs, 5, block});
    check({4, Shard::kVocab, one(11), Layout::kAsIs, 3, block});
    check({4, Shard::kVocab, one(1), Layout::kAsIs, 3, block});  // ranks without a row
  }
}

TEST(BlockPlan, MatricesTransposed) {
  for (int64_t block : {1, 13, 1000}) {
    for (const Layout layout : {Layout::kTransposed, Layout::kTransposedParts}) {
      check({8, Shard::kOut, qkv(4, 4, 2), layout, 4, block});
      check({8, Shard::kOut, qkv(4, 4, 2), layout, 1, block});
      check({8, Shard::kNone, qkv(4, 4, 2), layout, 1, block});
      check({12, Shard::kIn, one(6), layout, 3, block});
      check({12, Shard::kOut, one(6), layout, 3, block});
    }
    check({8, Shard::kOut, qkv(8, 2, 3), Layout::kTransposed, 2, block});  // Conv1D with grouped heads
  }
}

TEST(BlockPlan, HeadInterleaved) {
  for (int64_t block : {1, 40, 1000}) {
    check({12, Shard::kOut, qkv(6, 6, 2), Layout::kHeadInterleaved, 3, block});
    check({12, Shard::kOut, qkv(3, 3, 4), Layout::kHeadInterleaved, 1, block});
    for (int ranks : {1, 2, 4, 8})
      check({5, Shard::kOut, qkv(8, 2, 3), Layout::kHeadInterleaved, ranks, block});
    check({5, Shard::kOut, qkv(6, 1, 2), Layout::kHeadInterleaved, 3, block});
  }
}

TEST(BlockPlan, FourBlocks) {
  for (int64_t block : {1, 40, 1000}) {
    check({12, Shard::kOut, qkv(4, 4, 2), Layout::kFourBlocks, 1, block});
    check({12, Shard::kOut, qkv(8, 8, 3), Layout::kFourBlocks, 2, block});
    check({5, Shard::kOut, qkv(2, 2, 6), Layout::kFourBlocks, 2, block});  // blocks of half a head
    check({5, Shard::kOut, qkv(3, 3, 4), Layout::kFourBlocks, 3, block});
  }
}

TEST(BlockPlan, FewerHeadsThanRanks) {
  for (int ranks : {2, 4, 8}) {
    check({6, Shard::kOut, qkv(8, 1, 2), Layout::kAsIs, ranks, 1000});
    check({6, Shard::kOut, qkv(8, 2, 2), Layout::kAsIs, ranks, 1000});
    check({0, Shard::kOut, qkv(8, 2, 2), Layout::kAsIs, ranks, 1000});
    check({6, Shard::kOut, qkv(8, 2, 2), Layout::kTransposed, ranks, 13});
  }
}

TEST(BlockPlan, Vectors) {
  for (int64_t block : {1, 5, 1000}) {
    check({0, Shard::kOut, qkv(4, 4, 2), Layout::kTransposedParts, 4, block});
    check({0, Shard::kOut, qkv(4, 4, 2), Layout::kTransposed, 2, block});
    check({0, Shard::kOut, one(24), Layout::kTransposed, 2, block});
    check({0, Shard::kNone, one(24), Layout::kAsIs, 2, block});
    check({0, Shard::kOut, qkv(6, 6, 2), Layout::kHeadInterleaved, 2, block});
  }
}

// q, k and v in tensors of their own, or two of them in one.
TEST(BlockPlan, APartOfAWeight) {
  const WeightSpec spec{.name = "w",
                        .shape = {12, 5},
                        .shard = Shard::kOut,
                        .parts = qkv(4, 1, 2),
                        .into = static_cast<Tensor*>(nullptr)};
  for (int rank : {0, 1}) {
    const Dist dist{.tensor_size = 2, .tensor_rank = rank};
    const WeightSource keys{.names = {}, .first_part = 1, .parts = 1};
    EXPECT_EQ(stored_shape(spec, keys).str(), "[2, 5]");
    const std::vector<BlockRead> plan = plan_blocks(spec, keys, dist, 1000);
    ASSERT_EQ(plan.size(), 1u);
    ASSERT_EQ(plan[0].pieces.size(), 1u);
    EXPECT_EQ(plan[0].pieces[0].row0, 4);  // behind two heads of q
    EXPECT_EQ(plan[0].slice.begin[0], 0);
    EXPECT_EQ(plan[0].slice.end[0], 2);
    const WeightSource both{.names = {}, .first_part = 1, .parts = 2};
    EXPECT_EQ(stored_shape(spec, both).str(), "[4, 5]");
    const std::vector<BlockRead> two = plan_blocks(spec, both, dist, 1000);
    ASSERT_EQ(two.size(), 1u);
    ASSERT_EQ(two[0].pieces.size(), 1u);  // k and v follow each other here and there
    EXPECT_EQ(two[0].pieces[0].row0, 4);
    EXPECT_EQ(two[0].pieces[0].rows, 4);
    EXPECT_EQ(two[0].slice.end[0], 4);
  }
}

}  // namespace
}  // namespace bolide
