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

// A part of a source, and where this rank's rows of it begin in its weight.
struct LocalPart {
  const WeightPart* part;
  Dist::Range rows;
  int64_t local;
};

// Parts of which each group (of heads, or one of four blocks) has its share, one part after the other.
std::vector<Run> find_grouped_runs(const std::vector<LocalPart>& parts, int64_t groups) {
  int64_t group_rows = 0, in_group = 0;  // where the part begins in a group
  for (const LocalPart& p : parts) group_rows += p.part->rows / groups;
  std::vector<Run> runs;
  for (const LocalPart& p : parts) {
    const int64_t each = p.part->rows / groups;  // of a group; a rank may have some of its heads only
    int64_t local = p.local;
    for (int64_t row = p.rows.begin; row < p.rows.end;) {
      const int64_t count = std::min(p.rows.end, (row / each + 1) * each) - row;
      runs.push_back({row / each * group_rows + in_group + row % each, count, local});
      local += count;
      row += count;
    }
    in_group += each;
  }
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.stored < b.stored; });
  return runs;
}

// This rank's rows of the source's parts, in the order in which the tensor has them.
std::vector<Run> find_runs(const WeightSpec& spec, const WeightSource& source, const Dist& dist) {
  const std::vector<WeightPart> all = parts_of(spec);
  std::vector<LocalPart> parts;
  int64_t local = 0;
  for (size_t p = 0; p < source.first_part + source.parts; ++p) {
    const Dist::Range rows = local_rows(spec, all[p], dist);
    if (p >= source.first_part) parts.push_back({&all[p], rows, local});
    local += rows.size();
  }
  if (source.layout == Layout::kFourBlocks) {
    std::rotate(parts.begin() + 1, parts.end() - 1, parts.end());
    return find_grouped_runs(parts, 4);
  }
  if (source.layout == Layout::kHeadInterleaved) {
    int64_t groups = parts.front().part->heads;
    for (const LocalPart& p : parts) groups = std::min(groups, p.part->heads);
    BOLIDE_CHECK(groups > 0, "'{}' has no heads", spec.name);
    return find_grouped_runs(parts, groups);
  }
  std::vector<Run> runs;
  if (source.head >= 0) {
    const LocalPart& p = parts.front();
    const int64_t each = p.part->rows / p.part->heads, begin = source.head * each - p.rows.begin;
    if (begin >= 0 && begin < p.rows.size()) runs.push_back({0, each, p.local + begin});
    return runs;
  }
  int64_t stored = source.skipped_rows;
  for (const LocalPart& p : parts) {
    add_run(runs, {stored + p.rows.begin, p.rows.size(), p.local});
    stored += p.part->rows;
  }
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
