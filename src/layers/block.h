#pragma once

#include <span>

#include "layers/attention.h"
#include "layers/mlp.h"
#include "layers/norm.h"

namespace bolide {

// What a sublayer's output is added to: its input before the norm (usual), or after it.
enum class ResidualFrom : uint8_t { kBeforeNorm, kAfterNorm };

// One pre-norm transformer layer: norm, attention, add, norm, MLP, add.
struct Block {
  LayerNorm attention_norm;
  SelfAttention attention;
  LayerNorm mlp_norm;
  Mlp mlp;
};

// Runs consecutive blocks over hidden [T, hidden] in place. Each add is fused with the norm that follows it,
// also across block boundaries. Block i reads and writes cache layer first_cache_layer + i.
void run_blocks(const Context& context, std::span<const Block> blocks, ResidualFrom residual_from,
                const KvView& kv, int64_t first_cache_layer, const View& hidden);

}  // namespace bolide
