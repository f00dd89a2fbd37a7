#include "layers/attention.h"

namespace bolide {

void SelfAttention::norm_heads(const Context& context, const View& q, const View& k) const {
  if (head_norms == HeadNorms::kNone) return;
  HeadNormArgs args = {.q = q,
                       .k = k,
                       .head_size = head_norms == HeadNorms::kRow ? 0 : head_size,
                       .q_norm = q_norm.norm(),
                       .k_norm = k_norm.norm()};
  Arena::Scope scope(*context.arena);
  if (head_norms == HeadNorms::kRow && context.tensor_comm) {
    args.squares = context.arena->take({q.rows(), 2}, DType::kF32);
    args.ranks = context.tensor_comm->size();
    row_squares(context, {.q = q, .k = k, .y = args.squares});
    all_reduce(context, args.squares);
  }
  head_norm(context, args);
}

void SelfAttention::add_to(const Context& context, const KvView& kv, int64_t layer, const Norm& norm,
                           std::span<const RotaryAngles> kinds, const LayerNorm& after,
                           const View& hidden) const {
  Arena::Scope scope(*context.arena);
  const BatchView& batch = kv.batch();
  const int64_t tokens = hidden.rows(), q_cols = heads * head_size, kv_cols = kv_heads * head_size;
  const View projected = context.arena->take({tokens, q_cols + 2 * kv_cols}, context.activation);
  qkv.forward(context, hidden, norm, projected);
  const View q = projected.slice_columns(0, q_cols), k = projected.slice_columns(q_cols, q_cols + kv_cols);
  norm_heads(context, q, k);
  const RotaryAngles angles =
      rotary >= 0 && !kinds.empty() ? kinds[static_cast<size_t>(rotary)] : RotaryAngles();
  const View mixed = context.arena->take({tokens, q_cols}, context.activation);
  attention(context, {.q = q,
                      .k = k,
                      .v = projected.slice_columns(q_cols + kv_cols, q_cols + 2 * kv_cols),
                      .slots = batch.slots,
                      .cos = angles.cos,
                      .sin = angles.sin,
                      .interleaved = angles.interleaved,
                      .kv = kv.layer(layer),
                      .query_offsets = batch.query_offsets,
                      .kv_lengths = batch.kv_lengths,
                      .max_query = batch.max_query,
                      .max_kv_length = batch.max_kv_length,
                      .heads = heads,
                      .mask = {.window = window},
                      .position = {.alibi_slopes = alibi},
                      .scale = scale,
                      .soft_cap = soft_cap,
                      .y = mixed});
  out.add_to(context, mixed, after, hidden);
}

}  // namespace bolide
