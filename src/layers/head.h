#pragma once

#include "layers/norm.h"
#include "ops/soft_cap.h"
#include "quant/weight_scheme.h"

namespace bolide {

// What turns hidden rows into logits: a norm and a projection, where the model has them, and a matrix.
struct Head {
  LayerNorm norm;      // empty: none
  Weight project;      // [columns of the matrix, hidden]; empty: none
  Weight weight;       // [local vocab, hidden]; empty where it is the token embedding
  Tensor bias;         // [local vocab] fp32; empty: none
  float soft_cap = 0;  // of logits; 0: none

  // logits [n, local vocab] fp32 = project(norm(hidden [n, hidden])) W^T + bias, capped, W =
  // `weight` or the `embedding`: this rank's columns. Who draws from them puts the ranks' together
  // (decode/slices.h). With `argmax`, as in ops/matmul.h: the cap changes none.
  void logits(const Context& context, const Weight& embedding, const View& hidden, const View& logits,
              const Argmax& argmax) const {
    const Weight& matrix = weight.empty() ? embedding : weight;
    if (project.empty()) {
      matrix->matmul(context,
                     {.x = hidden, .bias = bias, .y = logits, .norm = norm.norm(), .argmax = argmax});
      return finish(context, logits, argmax);
    }
    Arena::Scope scope(*context.arena);
    const View projected = context.arena->take({hidden.rows(), project.rows()}, DType::kF32);
    project->matmul(context, {.x = hidden, .y = projected, .norm = norm.norm()});
    matrix->matmul(context, {.x = projected, .bias = bias, .y = logits, .argmax = argmax});
    finish(context, logits, argmax);
  }

 private:
  void finish(const Context& context, const View& logits, const Argmax& argmax) const {
    if (argmax.wanted() || soft_cap == 0) return;
    bolide::soft_cap(context, {.x = logits, .cap = soft_cap});
  }
};

}  // namespace bolide
