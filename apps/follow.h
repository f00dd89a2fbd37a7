#pragma once

#include "bolide/engine.h"

namespace bolide::apps {

// Of the processes that mpirun, torchrun or srun has started, the first runs the command, and each other one
// serves it from here until it is done: true in these. To be called before anything is read or written.
bool followed(const EngineConfig& config);

}  // namespace bolide::apps
