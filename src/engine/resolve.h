#pragma once

#include <string_view>

#include "bolide/engine.h"
#include "worker/rank_config.h"

namespace bolide {

// The one place where what a user asks for becomes what ranks run with. kUsage, naming the field and what it
// may be, for settings that no engine can have. Looks at no file of the model.
RankConfig resolve(const EngineConfig& asked);

// "cpu" or "cuda"; kUsage for a word that is neither, or a device that this build or machine has not.
Device parse_device(std::string_view name);
// What max_chunk_tokens 0 stands for.
int64_t default_chunk_tokens(Device device);
// kUsage for a count that cannot be honoured; 0, automatic, can.
void check_threads(int threads);

}  // namespace bolide
