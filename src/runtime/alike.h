#pragma once

#include "bolide/engine.h"
#include "comm/transport.h"

namespace bolide {

// Holds build, model and settings of all ranks against each other. Every rank calls it before it loads;
// kUsage on all of them naming the first rank that differs, and in what.
void check_alike(Transport& world, const EngineConfig& config);

}  // namespace bolide
