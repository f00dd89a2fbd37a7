#pragma once

#include "models/family.h"

namespace bolide {

// SmolLM3: LLaMA's graph in which every fourth layer has no rotary positions.
extern const Family kSmolLm3Family;

}  // namespace bolide
