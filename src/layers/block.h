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

// Runs consecutive blocks over hidden [T, hidden] fp32 in place: norms go along with the matmul that reads
// through them, sums with the one that makes them. Block i reads and writes layer i of the
// cache. Empty angles: no rotary positions.
void run_blocks(const Context& context, std::span<const Block> blocks, ResidualFrom residual_from,
                const KvView& kv, const RotaryAngles& angles, const View& hidden);

}  // namespace bolide
