#pragma once

#include "models/family.h"

namespace bolide {

// Falcon 7B, 40B and 180B, and RefinedWeb's with ALiBi.
extern const Family kFalconFamily;

}  // namespace bolide
