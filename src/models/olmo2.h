#pragma once

#include "models/family.h"

namespace bolide {

// OLMo 2: norms after each sublayer and of whole rows of q and k.
extern const Family kOlmo2Family;

}  // namespace bolide
