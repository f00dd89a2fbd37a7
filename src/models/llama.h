#pragma once

#include "models/family.h"

namespace bolide {

// LLaMA 1 to 3 and what is built like it: RMS norms, rotary positions, grouped key and value heads, SwiGLU.
extern const Family kLlamaFamily;

}  // namespace bolide
