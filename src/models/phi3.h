#pragma once

#include "models/family.h"

namespace bolide {

// Phi-3, 3.5 and 4 (the dense ones): LLaMA's graph from fused tensors, with longrope.
extern const Family kPhi3Family;

}  // namespace bolide
