#pragma once

#include "models/family.h"

namespace bolide {

// CodeGen: GPT-J's graph, with q, v and k in one tensor.
extern const Family kCodegenFamily;

}  // namespace bolide
