#include "runtime/memory.h"

#include <algorithm>

#include "ops/matmul.h"

namespace bolide {

StepMemory step_memory(const ModelConfig& model, DType data_type, int64_t tokens, int64_t logit_rows) {
  constexpr int64_t kRounding = 4096;  // of a few dozen blocks to whole lines
  const int64_t hidden = model.hidden_size, bytes = static_cast<int64_t>(size_of(data_type));
  const int64_t attention = (2 * model.heads + 2 * model.kv_heads) * model.head_size;
  // The residual stream; then of the sublayers the wider one, with a normed copy of its input; or the head's
  // rows.
  const int64_t sublayer = tokens * (std::max(attention, model.inter_size) + hidden) * bytes;
  const int64_t head = logit_rows * hidden * (4 + bytes);
  return {.scratch = tokens * hidden * 4 + std::max(sublayer, head) + kMatmulWorkspaceBytes + kRounding,
          .logits = logit_rows * model.vocab_size * 4};
}

}  // namespace bolide
