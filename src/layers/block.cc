#include "layers/block.h"

namespace bolide {
namespace {

// What a sublayer reads through: its norm, or nothing once the stream itself has been normalised.
Norm enter(const Context& context, const LayerNorm& norm, ResidualFrom residual_from, const View& hidden) {
  if (residual_from == ResidualFrom::kBeforeNorm) return norm.norm();
  norm.forward(context, hidden, hidden);
  return {};
}

}  // namespace

void run_blocks(const Context& context, std::span<const Block> blocks, ResidualFrom residual_from,
                const KvView& kv, const RotaryAngles& angles, const View& hidden) {
  int64_t layer = 0;
  for (const Block& block : blocks) {
    block.attention.add_to(context, kv, layer++, enter(context, block.attention_norm, residual_from, hidden),
                           angles, hidden);
    block.mlp.add_to(context, enter(context, block.mlp_norm, residual_from, hidden), hidden);
  }
}

}  // namespace bolide
