#include "layers/block.h"

namespace bolide {
namespace {

// Sublayers read through their norm, or through nothing where the stream itself is normalised.
Norm enter(const Context& context, const LayerNorm& norm, NormPlace place, const View& hidden) {
  if (place == NormPlace::kPre) return norm.norm();
  if (place == NormPlace::kPreAndResidual) norm.forward(context, hidden, hidden);
  return {};
}

void leave(const Context& context, const LayerNorm& norm, NormPlace place, const View& hidden) {
  if (place == NormPlace::kPost) norm.forward(context, hidden, hidden);
}

}  // namespace

void run_blocks(const Context& context, std::span<const Block> blocks, NormPlace place, const KvView& kv,
                const RotaryAngles& angles, const View& hidden) {
  int64_t layer = 0;
  for (const Block& block : blocks) {
    block.attention.add_to(context, kv, layer++, enter(context, block.attention_norm, place, hidden), angles,
                           hidden);
    leave(context, block.attention_norm, place, hidden);
    block.mlp.add_to(context, enter(context, block.mlp_norm, place, hidden), hidden);
    leave(context, block.mlp_norm, place, hidden);
  }
}

}  // namespace bolide
