#pragma once

#include "weights/name_table.h"

namespace bolide {

// One read of a checkpoint tensor, and where its pieces go in this rank's canonical weight.
struct BlockRead {
  Slice slice;  // of the checkpoint's tensor, this rank's share only
  Shape shape;  // of what the read gives
  bool transposed = false;
  struct Piece {
    int64_t offset;      // first element of the piece in what was read
    int64_t rows, cols;  // of the piece as it lies: [rows, cols], contiguous rows of `row_stride` elements
    int64_t row_stride;
    int64_t row0,
        col0;  // where it goes in the local canonical [out, in] (as W's rows and columns, transposed or not)
  };
  std::vector<Piece> pieces;
};

// All reads of the tensor `source` that fill this rank's share of the weight, each of at most about
// `max_elements`.
std::vector<BlockRead> plan_blocks(const WeightSpec& spec, const WeightSource& source, const Dist& dist,
                                   int64_t max_elements);

}  // namespace bolide
