#pragma once

#include <span>

#include "layers/attention.h"
#include "layers/mlp.h"
#include "layers/norm.h"

namespace bolide {

// Where the norm of a sublayer f stands.
enum class NormPlace : uint8_t {
  kPre,             // x + f(norm(x)), the usual
  kPreAndResidual,  // n + f(n) with n = norm(x)
  kPost,            // norm(x + f(x))
};

// One transformer layer: attention and MLP, each with its norm.
struct Block {
  LayerNorm attention_norm;
  SelfAttention attention;
  LayerNorm mlp_norm;
  Mlp mlp;
};

// Runs consecutive blocks over hidden [T, hidden] fp32 in place: norms go along with the matmul that reads
// through them, sums with the one that makes them. Block i reads and writes layer i of the
// cache. Empty angles: no rotary positions.
void run_blocks(const Context& context, std::span<const Block> blocks, NormPlace place, const KvView& kv,
                const RotaryAngles& angles, const View& hidden);

}  // namespace bolide
