#pragma once

#include <span>

#include "comm/communicator.h"
#include "layers/norm.h"
#include "ops/embedding.h"
#include "quant/weight_scheme.h"

namespace bolide {

// Token embedding, vocabulary-parallel: each rank adds the rows it holds and the ranks' sum is complete. Then
// a projection, the positions' table and a norm, where the model has them.
struct Embedding {
  Weight table;             // [local vocab, hidden], or of the projection's columns
  int64_t vocab_begin = 0;  // first id of this rank
  Weight project;           // [hidden, the table's columns]; empty: none
  float scale = 1;          // of the table's rows
  Weight positions;         // [positions, hidden]; empty: none
  LayerNorm norm;           // empty: none

  // y [T, hidden] fp32. Ids and previous ids as in ops/embedding.h; `places` [T] are rows of `positions`.
  void forward(const Context& context, std::span<const int32_t> ids, std::span<const int32_t> previous_ids,
               std::span<const int32_t> places, const View& y) const {
    const bool at_once = !context.tensor_comm && positions.empty() && project.empty() && scale == 1;
    Arena::Scope scope(*context.arena);
    const View rows = project.empty() ? y : context.arena->take({y.rows(), table.cols()}, DType::kF32);
    table->gather(context, {.ids = ids,
                            .vocab_begin = vocab_begin,
                            .y = rows,
                            .previous_ids = previous_ids,
                            .scale = scale,
                            .norm = at_once ? norm.norm() : Norm()});
    if (at_once) return;
    all_reduce(context, rows);
    if (!project.empty()) project->matmul(context, {.x = rows, .y = y});
    if (!positions.empty()) positions->gather(context, {.ids = places, .y = y, .accumulate = true});
    if (!norm.weight.empty()) norm.forward(context, y, y);
  }
};

}  // namespace bolide
