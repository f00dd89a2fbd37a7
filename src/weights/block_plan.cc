#include "weights/block_plan.h"

#include <algorithm>

namespace bolide {
namespace {

// This rank's rows of one segment, and its columns, in whole-tensor coordinates.
struct Local {
  int64_t segment_rows;  // rows of a segment in the whole tensor
  Dist::Range rows, cols;
};

Local local_part(const Slot& slot, const Dist& dist) {
  const int64_t out = slot.shape[0], in = slot.is_matrix() ? slot.shape[1] : 1;
  BOLIDE_CHECK(out % slot.segments == 0);
  Local local{out / slot.segments, {0, out / slot.segments}, {0, in}};
  if (slot.shard == Shard::kOut) local.rows = dist.tensor_part(local.segment_rows);
  if (slot.shard == Shard::kIn) local.cols = dist.tensor_part(in);
  if (slot.shard == Shard::kVocab) local.rows = dist.vocab_part(local.segment_rows);
  return local;
}

// [rows of segment s] x cols, chunked over rows.
void plan_as_is(const Slot& slot, const Local& local, int64_t max_elements, std::vector<BlockRead>& plan) {
  const int64_t cols = local.cols.size(), rows = local.rows.size();
  const int64_t chunk =
      std::clamp<int64_t>(max_elements / std::max<int64_t>(cols, 1), 1, std::max<int64_t>(rows, 1));
  for (int64_t s = 0; s < slot.segments; ++s) {
    for (int64_t r = 0; r < rows; r += chunk) {
      const int64_t n = std::min(chunk, rows - r), first = s * local.segment_rows + local.rows.begin + r;
      BlockRead read;
      read.slice = Slice::along(slot.shape, 0, first, first + n);
      if (slot.is_matrix()) {
        read.slice.begin[1] = local.cols.begin;
        read.slice.end[1] = local.cols.end;
      }
      read.shape = read.slice.shape(slot.shape.rank());
      read.parts = {{0, n, cols, cols, s * rows + r, 0}};
      plan.push_back(std::move(read));
    }
  }
}

// Source [in, segments, segment rows] (or [in, out] with one segment), chunked over `in`.
void plan_transposed(const Slot& slot, const Local& local, int64_t max_elements,
                     std::vector<BlockRead>& plan) {
  const Shape source = source_shape(slot, Layout::kTransposed);
  const int last = source.rank() - 1;
  const int64_t rows = local.rows.size(), cols = local.cols.size(), width = slot.segments * rows;
  const int64_t chunk = std::clamp<int64_t>(max_elements / width, 1, cols);
  for (int64_t c = 0; c < cols; c += chunk) {
    const int64_t n = std::min(chunk, cols - c);
    BlockRead read;
    read.transposed = true;
    read.slice = Slice::along(source, 0, local.cols.begin + c, local.cols.begin + c + n);
    read.slice.begin[last] = local.rows.begin;
    read.slice.end[last] = local.rows.end;
    read.shape = read.slice.shape(source.rank());
    for (int64_t s = 0; s < slot.segments; ++s) read.parts.push_back({s * rows, n, rows, width, s * rows, c});
    plan.push_back(std::move(read));
  }
}

// Source [segments, segment rows]: a vector's rows, segment by segment.
void plan_segmented_vector(const Slot& slot, const Local& local, std::vector<BlockRead>& plan) {
  const int64_t rows = local.rows.size();
  for (int64_t s = 0; s < slot.segments; ++s) {
    BlockRead read;
    read.slice.begin = {s, local.rows.begin};
    read.slice.end = {s + 1, local.rows.end};
    read.shape = {1, rows};
    read.parts = {{0, rows, 1, 1, s * rows, 0}};
    plan.push_back(std::move(read));
  }
}

// Source rows ordered [head][segment][head size], chunked over heads.
void plan_head_interleaved(const Slot& slot, const Local& local, int64_t max_elements,
                           std::vector<BlockRead>& plan) {
  const int64_t head_size = local.segment_rows / slot.heads, cols = local.cols.size();
  const int64_t group = slot.segments * head_size;  // rows of one head
  const int64_t first = local.rows.begin / head_size, count = local.rows.size() / head_size;
  const int64_t chunk = std::clamp<int64_t>(max_elements / (group * cols), 1, count);
  for (int64_t h = 0; h < count; h += chunk) {
    const int64_t n = std::min(chunk, count - h);
    BlockRead read;
    read.slice = Slice::along(slot.shape, 0, (first + h) * group, (first + h + n) * group);
    if (slot.is_matrix()) {
      read.slice.begin[1] = local.cols.begin;
      read.slice.end[1] = local.cols.end;
    }
    read.shape = read.slice.shape(slot.shape.rank());
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t s = 0; s < slot.segments; ++s) {
        const int64_t source_row = i * group + s * head_size;
        read.parts.push_back(
            {source_row * cols, head_size, cols, cols, s * local.rows.size() + (h + i) * head_size, 0});
      }
    }
    plan.push_back(std::move(read));
  }
}

}  // namespace

Shape local_shape(const Slot& slot, const Dist& dist) {
  const Local local = local_part(slot, dist);
  Shape shape = slot.shape;
  shape[0] = slot.segments * local.rows.size();
  if (slot.is_matrix()) shape[1] = local.cols.size();
  return shape;
}

Shape source_shape(const Slot& slot, Layout layout) {
  if (layout != Layout::kTransposed) return slot.shape;
  const int64_t segment = slot.shape[0] / slot.segments;
  if (!slot.is_matrix()) return slot.segments == 1 ? slot.shape : Shape{slot.segments, segment};
  return slot.segments == 1 ? Shape{slot.shape[1], slot.shape[0]}
                            : Shape{slot.shape[1], slot.segments, segment};
}

std::vector<BlockRead> plan_blocks(const Slot& slot, Layout layout, const Dist& dist, int64_t max_elements) {
  const Local local = local_part(slot, dist);
  std::vector<BlockRead> plan;
  switch (layout) {
    case Layout::kAsIs:
      plan_as_is(slot, local, max_elements, plan);
      break;
    case Layout::kTransposed:
      if (slot.is_matrix()) {
        plan_transposed(slot, local, max_elements, plan);
      } else if (slot.segments > 1) {
        plan_segmented_vector(slot, local, plan);
      } else {
        plan_as_is(slot, local, max_elements, plan);
      }
      break;
    case Layout::kHeadInterleaved:
      plan_head_interleaved(slot, local, max_elements, plan);
      break;
  }
  return plan;
}

}  // namespace bolide
