#pragma once

#include <span>

#include "layers/attention.h"
#include "layers/mlp.h"
#include "layers/norm.h"

namespace bolide {

// Where the norms of a sublayer f stand.
enum class NormPlace : uint8_t {
  kPre,             // x + f(norm(x)), the usual
  kPreAndResidual,  // n + f(n) with n = norm(x)
  kPost,            // norm(x + f(x))
  kOutput,          // x + norm(f(x))
  kPreAndOutput,    // x + after(f(norm(x)))
};

// What the MLP reads.
enum class Residual : uint8_t {
  kSequential,          // what attention was added to: y + mlp(norm(y)) with y = x + attention(norm(x))
  kParallel,            // what attention reads, too: x + attention(norm(x)) + mlp(its norm(x))
  kParallelSharedNorm,  // the same, by way of attention's norm
};

// How blocks are put together. Parallel ones are kPre.
struct BlockForm {
  NormPlace norm_place = NormPlace::kPre;
  Residual residual = Residual::kSequential;

  bool has_output_norms() const { return norm_place == NormPlace::kPreAndOutput; }
};

// One transformer layer: attention and MLP, each with its norm. Norms that the form has not are empty.
struct Block {
  LayerNorm attention_norm;
  SelfAttention attention;
  LayerNorm attention_output_norm;
  LayerNorm mlp_norm;
  Mlp mlp;
  LayerNorm mlp_output_norm;
};

// Runs consecutive blocks over hidden [T, hidden] fp32 in place: norms go along with the matmul that reads
// through them, sums with the one that makes them. Block i reads and writes layer i of the cache. `kinds`:
// the angles of each kind of rotary positions that the blocks have.
void run_blocks(const Context& context, std::span<const Block> blocks, const BlockForm& form,
                const KvView& kv, std::span<const RotaryAngles> kinds, const View& hidden);

}  // namespace bolide
