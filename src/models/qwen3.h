#pragma once

#include "models/family.h"

namespace bolide {

// Qwen3: LLaMA's graph with norms of each head's q and k.
extern const Family kQwen3Family;

}  // namespace bolide
