#pragma once

#include "models/family.h"

namespace bolide {

// Gemma: LLaMA's graph with norms whose weights count from 1, and a scaled embedding.
extern const Family kGemmaFamily;

}  // namespace bolide
