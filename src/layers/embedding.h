#pragma once

#include <span>

#include "comm/communicator.h"
#include "layers/norm.h"
#include "ops/embedding.h"
#include "quant/weight_format.h"

namespace bolide {

// Token embedding, vocabulary-parallel: each rank adds the rows it holds and the ranks' sum is complete. Then
// a norm.
struct Embedding {
  Weight table;             // [local vocab, hidden]
  int64_t vocab_begin = 0;  // first id of this rank
  LayerNorm norm;           // empty: none

  // y [T, hidden] fp32. Ids and previous ids as in ops/embedding.h.
  void forward(const Context& context, std::span<const int32_t> ids, std::span<const int32_t> previous_ids,
               const View& y) const {
    const bool whole = !context.tensor_comm;
    embedding(context, {.ids = ids,
                        .table = &table.matrix,
                        .vocab_begin = vocab_begin,
                        .y = y,
                        .previous_ids = previous_ids,
                        .norm = whole ? norm.norm() : Norm()});
    if (whole) return;
    all_reduce(context, y);
    if (!norm.weight.empty()) norm.forward(context, y, y);
  }
};

}  // namespace bolide
