#pragma once

#include "models/model.h"

namespace bolide {

// What an engine takes of a GPU's memory besides weights and cache. The engine takes it all when it starts,
// so this is what it will have taken.
struct StepMemory {
  int64_t scratch = 0;  // activations of one layer at a time, and the libraries' workspace
  int64_t logits = 0;
  int64_t total() const { return scratch + logits; }
};
// Of one rank, for steps of up to `tokens` tokens, with `logit_rows` rows of logits at once.
StepMemory step_memory(const ModelConfig& model, const Dist& dist, DType data_type, int64_t tokens,
                       int64_t logit_rows);

}  // namespace bolide
