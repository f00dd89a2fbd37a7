#include "layers/head.h"

namespace bolide {

void head_logits(const Context& context, const Weight& weight, const Norm& norm, const View& hidden,
                 const View& logits) {
  if (!context.tensor_comm) {
    weight.format->matmul(context, weight, {.x = hidden, .y = logits, .norm = norm});
    return;
  }
  Arena::Scope scope(*context.arena);
  const View local = context.arena->take({hidden.rows(), weight.rows()}, DType::kF32);
  weight.format->matmul(context, weight, {.x = hidden, .y = local, .norm = norm});
  context.tensor_comm->all_gather_columns(context, local, logits);
}

}  // namespace bolide
