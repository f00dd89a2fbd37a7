#include "layers/head.h"

namespace bolide {

void head_logits(const Context& context, const Weight& weight, const View& hidden, const View& logits) {
  if (!context.tensor_comm) {
    weight.format->matmul(context, weight, hidden, {}, Activation::kNone, logits);
    return;
  }
  Arena::Scope scope(*context.arena);
  const View local = context.arena->take({hidden.rows(), weight.rows()}, DType::kF32);
  weight.format->matmul(context, weight, hidden, {}, Activation::kNone, local);
  context.tensor_comm->all_gather_columns(context, local, logits);
}

}  // namespace bolide
