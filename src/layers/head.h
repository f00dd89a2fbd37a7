#pragma once

#include "layers/norm.h"
#include "quant/weight_scheme.h"

namespace bolide {

// What turns hidden rows into logits: a norm and a projection, where the model has them, and a matrix.
struct Head {
  LayerNorm norm;  // empty: none
  Weight project;  // [columns of the matrix, hidden]; empty: none
  Weight weight;   // [local vocab, hidden]; empty where it is the token embedding

  // logits [n, local vocab] fp32 = project(norm(hidden [n, hidden])) W^T, W = `weight` or the `embedding`:
  // this rank's columns. Who draws from them puts the ranks' together (decode/slices.h). With `argmax`, as in
  // ops/matmul.h.
  void logits(const Context& context, const Weight& embedding, const View& hidden, const View& logits,
              const Argmax& argmax) const {
    const Weight& matrix = weight.empty() ? embedding : weight;
    if (project.empty()) {
      matrix->matmul(context, {.x = hidden, .y = logits, .norm = norm.norm(), .argmax = argmax});
      return;
    }
    Arena::Scope scope(*context.arena);
    const View projected = context.arena->take({hidden.rows(), project.rows()}, DType::kF32);
    project->matmul(context, {.x = hidden, .y = projected, .norm = norm.norm()});
    matrix->matmul(context, {.x = projected, .y = logits, .argmax = argmax});
  }
};

}  // namespace bolide
