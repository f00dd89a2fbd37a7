#pragma once

#include <vector>

#include "bolide/engine.h"
#include "models/model.h"
#include "sched/scheduler.h"

namespace bolide {

// kUsage, naming the field and what it may be, for settings that no engine can have. Looks at no file.
void check_config(const EngineConfig& config);

// kUnsupported for a model that no kernel of the device computes with: why. Before its weights are read.
void check_model_fits(const ModelConfig& model, Device device);

// "cpu" or "cuda"; kUsage for a word that is neither, or a device that this build or machine has not.
Device parse_device(std::string_view name);

// 0 becomes the device's default.
int64_t resolve_chunk_tokens(Device device, int64_t max_chunk_tokens);

// 0 becomes all usable cores, divided by the ranks that share them; kUsage for a count that cannot be
// honoured.
int resolve_threads(int threads, int sharing = 1);

// Throws kUsage for a request that can never run, and returns its prompt's ids (encoded when it came as
// text). `scheduler` has the size of the cache.
std::vector<int32_t> check_request(const Request& request, const ModelConfig& model,
                                   const Tokenizer* tokenizer, const SchedulerConfig& scheduler);

}  // namespace bolide
