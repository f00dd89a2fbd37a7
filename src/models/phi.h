#pragma once

#include "models/family.h"

namespace bolide {

// Phi-1, 1.5 and 2: attention and MLP read one norm, a part of each head turns, biases everywhere.
extern const Family kPhiFamily;

}  // namespace bolide
