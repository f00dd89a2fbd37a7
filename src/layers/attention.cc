#include "layers/attention.h"

#include <cmath>

namespace bolide {

void SelfAttention::forward(const Context& context, const KvView& kv, int64_t layer, const View& x,
                            const View& y) const {
  Arena::Scope scope(*context.arena);
  const Batch& batch = kv.batch();
  const PagedKv pages = kv.layer(layer);
  const int64_t q_cols = heads * head_size, kv_cols = kv_heads * head_size;
  const View projected = context.arena->take({x.rows(), q_cols + 2 * kv_cols}, DType::kF32);
  qkv.forward(context, x, projected);
  kv_write(context, {.k = projected.slice_columns(q_cols, q_cols + kv_cols),
                     .v = projected.slice_columns(q_cols + kv_cols, q_cols + 2 * kv_cols),
                     .slots = batch.slots,
                     .k_pages = pages.k,
                     .v_pages = pages.v});
  const View mixed = context.arena->take({x.rows(), q_cols}, DType::kF32);
  attention(context, {.q = projected.slice_columns(0, q_cols),
                      .kv = pages,
                      .query_offsets = batch.query_offsets,
                      .kv_lengths = batch.kv_lengths,
                      .heads = heads,
                      .alibi_slopes = alibi,
                      .scale = 1.0f / std::sqrt(static_cast<float>(head_size)),
                      .y = mixed});
  out.forward(context, mixed, y);
}

}  // namespace bolide
