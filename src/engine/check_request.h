#pragma once

#include <vector>

#include "bolide/engine.h"
#include "models/model.h"
#include "sched/scheduler.h"

namespace bolide {

// Throws kUsage for a request that can never run, and returns its prompt's ids (encoded when it came as
// text). `scheduler` has the size of the cache.
std::vector<int32_t> check_request(const Request& request, const ModelShape& model,
                                   const Tokenizer* tokenizer, const SchedulerConfig& scheduler);

}  // namespace bolide
