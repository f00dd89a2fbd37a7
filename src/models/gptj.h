#pragma once

#include "models/family.h"

namespace bolide {

// GPT-J 6B.
extern const Family kGptjFamily;

}  // namespace bolide
