#include "weights/block_plan.h"

#include <algorithm>

namespace bolide {
namespace {

// Consecutive output rows in a tensor's own order, and the row of this rank's weight where the first one
// goes.
struct Run {
  int64_t stored, count, local;
};

void add_run(std::vector<Run>& runs, const Run& run) {
  if (run.count == 0) return;
  if (!runs.empty() && runs.back().stored + runs.back().count == run.stored &&
      runs.back().local + runs.back().count == run.local) {
    runs.back().count += run.count;
  } else {
    runs.push_back(run);
  }
}

// This rank's rows of the source's parts, in the order in which the tensor has them.
std::vector<Run> find_runs(const WeightSpec& spec, const WeightSource& source, const Dist& dist) {
  const std::vector<WeightPart> parts = parts_of(spec);
  const size_t end = source.first_part + source.parts;
  int64_t local = 0;  // first row of the part in this rank's weight
  for (size_t p = 0; p < source.first_part; ++p) local += local_rows(spec, parts[p], dist).size();
  std::vector<Run> runs;
  if (source.head >= 0) {
    const WeightPart& part = parts[source.first_part];
    const Dist::Range rows = local_rows(spec, part, dist);
    const int64_t each = part.rows / part.heads, begin = source.head * each - rows.begin;
    if (begin >= 0 && begin < rows.size()) runs.push_back({0, each, local + begin});
    return runs;
  }
  if (source.layout != Layout::kHeadInterleaved && source.layout != Layout::kFourBlocks) {
    int64_t stored = source.skipped_rows;
    for (size_t p = source.first_part; p < end; ++p) {
      const Dist::Range rows = local_rows(spec, parts[p], dist);
      add_run(runs, {stored + rows.begin, rows.size(), local});
      stored += parts[p].rows;
      local += rows.size();
    }
    return runs;
  }
  const bool blocks = source.layout == Layout::kFourBlocks;
  int64_t groups = blocks ? 4 : parts[source.first_part].heads;
  for (size_t p = source.first_part; p < end && !blocks; ++p) groups = std::min(groups, parts[p].heads);
  BOLIDE_CHECK(groups > 0, "'{}' has no heads", spec.name);
  int64_t group_rows = 0;
  for (size_t p = source.first_part; p < end; ++p) group_rows += parts[p].rows / groups;
  int64_t in_group = 0;  // where the part begins in a group
  std::vector<size_t> order;
  for (size_t p = source.first_part; p < end; ++p) order.push_back(p);
  if (blocks) std::rotate(order.begin() + 1, order.end() - 1, order.end());
  std::vector<int64_t> local_of(parts.size());
  for (const size_t p : order) {
    int64_t& first = local_of[p];
    first = local;
    for (size_t q = source.first_part; q < p; ++q) first += local_rows(spec, parts[q], dist).size();
  }
  for (const size_t p : order) {
    int64_t at = local_of[p];
    const Dist::Range rows = local_rows(spec, parts[p], dist);
    const int64_t each = parts[p].rows / groups;  // of a group; a rank may have some heads of it only
    for (int64_t row = rows.begin; row < rows.end;) {
      const int64_t count = std::min(rows.end, (row / each + 1) * each) - row;
      runs.push_back({row / each * group_rows + in_group + row % each, count, at});
      at += count;
      row += count;
    }
    in_group += each;
  }
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.stored < b.stored; });
  return runs;
}

// Tensor [out, in] or [out]: reads of whole runs one after the other in the file, cut after so many rows.
std::vector<BlockRead> plan_rows(const WeightSpec& spec, const Shape& shape, const std::vector<Run>& runs,
                                 Dist::Range cols, int64_t max_elements) {
  std::vector<BlockRead> plan;
  const int64_t most = std::max<int64_t>(1, max_elements / std::max<int64_t>(cols.size(), 1));
  int64_t begin = 0, rows = 0;  // of the last read
  for (Run run : runs) {
    while (run.count > 0) {
      if (plan.empty() || rows == most || begin + rows != run.stored) {
        plan.emplace_back();
        begin = run.stored;
        rows = 0;
      }
      BlockRead& read = plan.back();
      const int64_t count = std::min(run.count, most - rows);
      read.pieces.push_back({rows * cols.size(), count, cols.size(), cols.size(), run.local, 0});
      rows += count;
      read.slice = Slice::along(shape, 0, begin, begin + rows);
      if (spec.is_matrix()) {
        read.slice.begin[1] = cols.begin;
        read.slice.end[1] = cols.end;
      }
      read.shape = read.slice.shape(shape.rank());
      run = {run.stored + count, run.count - count, run.local + count};
    }
  }
  return plan;
}

// Output rows that a transposed tensor has side by side: a box of its last axes, and the runs in it.
struct ColumnBox {
  Slice slice;
  int64_t width = 0;
  std::vector<Run> runs = {};  // `stored` counts from the box's first
};

// In a tensor [.., out] runs that touch are one box; in [.., parts, rows] every part has the same rows here.
std::vector<ColumnBox> find_column_boxes(const WeightSource& source, const Shape& shape,
                                         const std::vector<Run>& runs) {
  std::vector<ColumnBox> boxes;
  const int last = shape.rank() - 1;
  if (source.layout == Layout::kTransposedParts && source.parts > 1) {
    if (runs.empty()) return {};
    const int64_t each = shape[last];
    ColumnBox box{.slice = Slice::all(shape)};
    const int64_t begin = runs.front().stored % each,
                  count = std::min(runs.front().count, each);  // whole parts make one run
    box.slice.begin[last] = begin;
    box.slice.end[last] = begin + count;
    for (int64_t p = 0; p < static_cast<int64_t>(source.parts); ++p)
      box.runs.push_back({p * count, count, runs.front().local + p * count});
    box.width = static_cast<int64_t>(source.parts) * count;
    return {box};
  }
  for (const Run& run : runs) {
    if (boxes.empty() || boxes.back().slice.end[last] != run.stored)
      boxes.push_back({.slice = Slice::along(shape, last, run.stored, run.stored)});
    ColumnBox& box = boxes.back();
    box.runs.push_back({box.width, run.count, run.local});
    box.width += run.count;
    box.slice.end[last] = run.stored + run.count;
  }
  return boxes;
}

std::vector<BlockRead> plan_transposed(const WeightSpec& spec, const WeightSource& source, const Shape& shape,
                                       const std::vector<Run>& runs, Dist::Range cols, int64_t max_elements) {
  std::vector<BlockRead> plan;
  for (const ColumnBox& box : find_column_boxes(source, shape, runs)) {
    const int64_t most = std::clamp<int64_t>(max_elements / box.width, 1, std::max<int64_t>(cols.size(), 1));
    for (int64_t c = 0; c < cols.size(); c += most) {
      const int64_t n = std::min(most, cols.size() - c);
      BlockRead read;
      read.slice = box.slice;
      read.transposed = spec.is_matrix();
      if (spec.is_matrix()) {
        read.slice.begin[0] = cols.begin + c;
        read.slice.end[0] = cols.begin + c + n;
      }
      read.shape = read.slice.shape(shape.rank());
      for (const Run& run : box.runs) {
        read.pieces.push_back(spec.is_matrix()
                                  ? BlockRead::Piece{run.stored, n, run.count, box.width, run.local, c}
                                  : BlockRead::Piece{run.stored, run.count, 1, 1, run.local, 0});
      }
      plan.push_back(std::move(read));
    }
  }
  return plan;
}

}  // namespace

std::vector<BlockRead> plan_blocks(const WeightSpec& spec, const WeightSource& source, const Dist& dist,
                                   int64_t max_elements) {
  const Shape shape = stored_shape(spec, source);
  const std::vector<Run> runs = find_runs(spec, source, dist);
  const Dist::Range cols = local_cols(spec, dist);
  if (source.layout == Layout::kTransposed || source.layout == Layout::kTransposedParts)
    return plan_transposed(spec, source, shape, runs, cols, max_elements);
  return plan_rows(spec, shape, runs, cols, max_elements);
}

}  // namespace bolide
