#pragma once

#include "models/family.h"

namespace bolide {

// GPT-NeoX 20B and Pythia: attention and MLP side by side, a part of each head turns.
extern const Family kGptNeoxFamily;

}  // namespace bolide
