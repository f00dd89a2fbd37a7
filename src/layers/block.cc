#include "layers/block.h"

#include "comm/reduce_add_norm.h"

namespace bolide {

void run_blocks(const Context& context, std::span<const Block> blocks, ResidualFrom residual_from,
                const KvView& kv, int64_t first_cache_layer, const View& hidden) {
  if (blocks.empty()) return;
  Arena::Scope scope(*context.arena);
  const View normed = context.arena->take(hidden.shape, DType::kF32);
  const View delta = context.arena->take(hidden.shape, DType::kF32);
  const View& residual = residual_from == ResidualFrom::kAfterNorm ? normed : hidden;
  // hidden = residual + delta, normed = next(hidden); the last sum has no norm of this stage after it.
  auto finish_sublayer = [&](const LayerNorm* next) {
    AddNormArgs args{.residual = residual, .delta = delta, .sum = hidden, .norm = {}};
    if (next) args.norm = next->args(hidden, normed);
    reduce_add_norm(context, args);
  };
  blocks.front().attention_norm.forward(context, hidden, normed);
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].attention.forward(context, kv, first_cache_layer + static_cast<int64_t>(i), normed, delta);
    finish_sublayer(&blocks[i].mlp_norm);
    blocks[i].mlp.forward(context, normed, delta);
    finish_sublayer(i + 1 < blocks.size() ? &blocks[i + 1].attention_norm : nullptr);
  }
}

}  // namespace bolide
