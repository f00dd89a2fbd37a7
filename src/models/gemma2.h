#pragma once

#include "models/family.h"

namespace bolide {

// Gemma 2: every other layer has a window, scores and logits are capped.
extern const Family kGemma2Family;

}  // namespace bolide
