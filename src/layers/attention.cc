#include "layers/attention.h"

namespace bolide {

void SelfAttention::add_to(const Context& context, const KvView& kv, int64_t layer, const Norm& norm,
                           const RotaryAngles& angles, const View& hidden) const {
  Arena::Scope scope(*context.arena);
  const BatchView& batch = kv.batch();
  const int64_t tokens = hidden.rows(), q_cols = heads * head_size, kv_cols = kv_heads * head_size;
  const View projected = context.arena->take({tokens, q_cols + 2 * kv_cols}, context.activation);
  qkv.forward(context, hidden, norm, projected);
  const View mixed = context.arena->take({tokens, q_cols}, context.activation);
  attention(context, {.q = projected.slice_columns(0, q_cols),
                      .k = projected.slice_columns(q_cols, q_cols + kv_cols),
                      .v = projected.slice_columns(q_cols + kv_cols, q_cols + 2 * kv_cols),
                      .slots = batch.slots,
                      .cos = angles.cos,
                      .sin = angles.sin,
                      .kv = kv.layer(layer),
                      .query_offsets = batch.query_offsets,
                      .kv_lengths = batch.kv_lengths,
                      .max_query = batch.max_query,
                      .max_kv_length = batch.max_kv_length,
                      .heads = heads,
                      .mask = {.window = window},
                      .position = {.alibi_slopes = alibi},
                      .scale = scale,
                      .y = mixed});
  out.add_to(context, mixed, hidden);
}

}  // namespace bolide
