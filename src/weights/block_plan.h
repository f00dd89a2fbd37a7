#pragma once

#include "weights/slot.h"

namespace bolide {

// One read of a checkpoint tensor, and where its parts go in this rank's canonical weight.
struct BlockRead {
  Slice slice;  // of the checkpoint's tensor, this rank's part only
  Shape shape;  // of what the read gives
  bool transposed = false;
  struct Part {
    int64_t offset;      // first element of the part in what was read
    int64_t rows, cols;  // of the part as it lies: [rows, cols], contiguous rows of `row_stride` elements
    int64_t row_stride;
    int64_t row0,
        col0;  // where it goes in the local canonical [out, in] (as W's rows and columns, transposed or not)
  };
  std::vector<Part> parts;
};

// The canonical shape of this rank's part.
Shape local_shape(const Slot& slot, const Dist& dist);
// The shape that `slot` has in a checkpoint with this layout, whole.
Shape source_shape(const Slot& slot, Layout layout);
// All reads that fill this rank's part, each of at most about `max_elements`.
std::vector<BlockRead> plan_blocks(const Slot& slot, Layout layout, const Dist& dist, int64_t max_elements);

}  // namespace bolide
