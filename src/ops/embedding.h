#pragma once

#include <span>

#include "ops/norm.h"
#include "ops/packed_matrix.h"

namespace bolide {

struct EmbeddingArgs {
  // [tokens] on the device, each in the whole vocabulary; or -1 - r: previous_ids[r].
  std::span<const int32_t> ids;
  const PackedMatrix* table = nullptr;  // [local vocab, hidden]
  int64_t vocab_begin =
      0;   // first id of this rank's slice; ids outside [begin, begin + rows) give a row of zeros
  View y;  // [tokens, hidden] fp32
  // The ids that the previous step drew, on the device, for rows whose id the host does not know yet.
  std::span<const int32_t> previous_ids = {};
  bool accumulate = false;  // y += instead of =; without a norm or a scale
  float scale = 1;          // of each row; without a norm
  // Applied to each row of y, those of zeros too; an empty weight is none.
  Norm norm = {};
};
void embedding(const Context& context, const EmbeddingArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void embedding(const Context& context, const EmbeddingArgs& args);  // without the norm
}  // namespace cpu
namespace cuda {
void embedding(const Context& context, const EmbeddingArgs& args);
}  // namespace cuda

}  // namespace bolide
