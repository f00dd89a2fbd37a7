#pragma once

#include "models/family.h"

namespace bolide {

// StableLM: LLaMA's graph with layer norms, of which a part of each head turns.
extern const Family kStableLmFamily;

}  // namespace bolide
