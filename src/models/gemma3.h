#pragma once

#include "models/family.h"

namespace bolide {

// Gemma 3, text alone: norms of q and k, and rotary positions of another base in layers with a window.
extern const Family kGemma3Family;

}  // namespace bolide
