#include "layers/block.h"

namespace bolide {
namespace {

// Sublayers read through their norm, or through nothing where the stream itself is normalised, or their
// result.
Norm enter(const Context& context, const LayerNorm& norm, NormPlace place, const View& hidden) {
  if (place == NormPlace::kPre || place == NormPlace::kPreAndOutput) return norm.norm();
  if (place == NormPlace::kPreAndResidual) norm.forward(context, hidden, hidden);
  return {};
}

// What a sublayer's result passes through before it is added.
const LayerNorm& after(const LayerNorm& norm, const LayerNorm& output_norm, NormPlace place) {
  return place == NormPlace::kOutput ? norm : output_norm;
}

void leave(const Context& context, const LayerNorm& norm, NormPlace place, const View& hidden) {
  if (place == NormPlace::kPost) norm.forward(context, hidden, hidden);
}

// Attention and MLP of the same rows: the MLP's inner values are made first, before attention changes them.
void run_parallel(const Context& context, const Block& block, int64_t layer, Residual residual,
                  const KvView& kv, std::span<const RotaryAngles> kinds, const View& hidden) {
  Arena::Scope scope(*context.arena);
  const LayerNorm& mlp_norm =
      residual == Residual::kParallelSharedNorm ? block.attention_norm : block.mlp_norm;
  const View inner = block.mlp.inner(context, mlp_norm.norm(), hidden);
  block.attention.add_to(context, kv, layer, block.attention_norm.norm(), kinds, {}, hidden);
  block.mlp.down.add_to(context, inner, hidden);
}

}  // namespace

void run_blocks(const Context& context, std::span<const Block> blocks, const BlockForm& form,
                const KvView& kv, std::span<const RotaryAngles> kinds, const View& hidden) {
  const NormPlace place = form.norm_place;
  int64_t layer = 0;
  for (const Block& block : blocks) {
    if (form.residual != Residual::kSequential) {
      run_parallel(context, block, layer++, form.residual, kv, kinds, hidden);
      continue;
    }
    block.attention.add_to(context, kv, layer++, enter(context, block.attention_norm, place, hidden), kinds,
                           after(block.attention_norm, block.attention_output_norm, place), hidden);
    leave(context, block.attention_norm, place, hidden);
    block.mlp.add_to(context, enter(context, block.mlp_norm, place, hidden),
                     after(block.mlp_norm, block.mlp_output_norm, place), hidden);
    leave(context, block.mlp_norm, place, hidden);
  }
}

}  // namespace bolide
