#include "runtime/memory.h"

#include <algorithm>

#include "ops/matmul.h"

namespace bolide {

StepMemory step_memory(const ModelConfig& model, const Dist& dist, DType data_type, int64_t tokens,
                       int64_t logit_rows) {
  constexpr int64_t kRounding = 4096;  // of a few dozen blocks to whole lines
  const int64_t hidden = model.hidden_size, bytes = static_cast<int64_t>(size_of(data_type));
  const int64_t heads = dist.tensor_part(model.heads).size(),
                inter = dist.tensor_part(model.inter_size).size();
  const int64_t kv_heads = dist.tensor_part(model.kv_heads).size(),
                ids = dist.last_stage() ? dist.vocab_part(model.vocab_size).size() : 0;
  const int64_t attention = (2 * heads + 2 * kv_heads) * model.head_size;
  // The residual stream; then of the sublayers the wider one, with a normed copy of its input or, where ranks
  // share it, this rank's part of the sum; or the head's rows.
  const int64_t sublayer = tokens * (std::max(attention, inter) + hidden) * bytes;
  // Rows of logits of all ranks, where somebody wants whole ones: each rank's part on its way, and the whole.
  const int64_t whole = dist.tensor_size == 1 ? 0 : 2 * logit_rows * (ids * dist.tensor_size) * 4;
  const int64_t head = logit_rows * hidden * (4 + bytes) + whole;
  return {.scratch = tokens * hidden * 4 + std::max(sublayer, head) + kMatmulWorkspaceBytes + kRounding,
          .logits = logit_rows * ids * 4};
}

}  // namespace bolide
