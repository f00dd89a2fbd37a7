#pragma once

#include "quant/weight_scheme.h"

namespace bolide {

// Weights alone, one byte each, symmetric, one scale an output channel: made while loading from any
// checkpoint of floats. x stays as it is.
extern const WeightScheme kInt8Scheme;

}  // namespace bolide
