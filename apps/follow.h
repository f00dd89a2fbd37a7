#pragma once

#include "bolide/engine.h"

namespace bolide::apps {

// Of the processes that mpirun, torchrun or srun has started, the first runs the command, and each other one
// serves it from here until it is done: true in these. To be called before anything is read or written.
bool followed(const EngineConfig& config);

// Before a fault is printed. Where mpirun has started this process, the first one finds what is wrong with
// flags and files as well: it says so, once, and mpirun ends this one while it waits here. Where only this
// one finds it, it is a little late.
void let_first_rank_speak() noexcept;

}  // namespace bolide::apps
