#pragma once

#include "models/family.h"

namespace bolide {

// OPT, all sizes: learned positions, ReLU, and 350m's post-norm blocks and projected embedding.
extern const Family kOptFamily;

}  // namespace bolide
