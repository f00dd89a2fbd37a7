#pragma once

#include <algorithm>
#include <cstdint>

#include "base/error.h"

namespace bolide {

// All rank arithmetic. Global rank = tensor rank + pipeline rank * tensor size, as FasterTransformer counts
// them.
struct Dist {
  int tensor_size = 1;
  int tensor_rank = 0;
  int pipeline_size = 1;
  int pipeline_rank = 0;

  struct Range {
    int64_t begin = 0;
    int64_t end = 0;
    int64_t size() const { return end - begin; }
  };
  // This tensor rank's part of `total`, which tensor_size must divide (checked when the model is configured).
  Range tensor_part(int64_t total) const {
    BOLIDE_CHECK(total % tensor_size == 0, "{} over {}", total, tensor_size);
    const int64_t each = total / tensor_size;
    return {tensor_rank * each, (tensor_rank + 1) * each};
  }
  // This tensor rank's heads of `total`: its share of them, or, where there are fewer than ranks, the one
  // that it holds with others, whose queries are its own. One of the two must divide the other.
  Range head_part(int64_t total) const {
    if (total % tensor_size == 0) return tensor_part(total);
    BOLIDE_CHECK(tensor_size % total == 0, "{} heads over {}", total, tensor_size);
    const int64_t head = tensor_rank / (tensor_size / total);
    return {head, head + 1};
  }
  // This tensor rank's ids of a vocabulary; the last ranks may have fewer, or none.
  Range vocab_part(int64_t total) const {
    const int64_t each = (total + tensor_size - 1) / tensor_size;
    return {std::min(total, tensor_rank * each), std::min(total, (tensor_rank + 1) * each)};
  }
  // This stage's layers; the first (total % pipeline_size) stages take one more.
  Range stage_layers(int64_t total) const {
    const int64_t each = total / pipeline_size, more = total % pipeline_size;
    const int64_t begin = pipeline_rank * each + (pipeline_rank < more ? pipeline_rank : more);
    return {begin, begin + each + (pipeline_rank < more ? 1 : 0)};
  }
  bool first_stage() const { return pipeline_rank == 0; }
  bool last_stage() const { return pipeline_rank == pipeline_size - 1; }
};

}  // namespace bolide
