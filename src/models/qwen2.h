#pragma once

#include "models/family.h"

namespace bolide {

// Qwen2 and Qwen2.5: LLaMA's graph with biases of q, k and v, and sliding windows in the upper layers.
extern const Family kQwen2Family;

}  // namespace bolide
