#pragma once

#include "models/family.h"

namespace bolide {

// MPT: norms without biases, ALiBi with slopes of its own.
extern const Family kMptFamily;

}  // namespace bolide
