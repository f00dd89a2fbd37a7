#pragma once

#include <span>

#include "ops/packed_matrix.h"

namespace bolide {

struct EmbeddingArgs {
  std::span<const int32_t> ids;  // [tokens], each in the whole vocabulary
  const PackedMatrix* table;     // [local vocab, hidden]
  int64_t vocab_begin =
      0;   // first id of this rank's slice; ids outside [begin, begin + rows) give a row of zeros
  View y;  // [tokens, hidden] fp32
};
void embedding(const Context& context, const EmbeddingArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void embedding(const Context& context, const EmbeddingArgs& args);
}  // namespace cpu
namespace cuda {
void embedding(const Context& context, const EmbeddingArgs& args);
}  // namespace cuda

}  // namespace bolide
