#pragma once

#include <cstdint>
#include <functional>

#include "apps/request_source.h"
#include "bolide/engine.h"

namespace bolide::apps {

// How many requests are read ahead of the one whose result comes next: enough to fill every place of the
// batch the moment it is free, few enough to keep a long file out of memory, whatever --batch-size says.
int64_t read_ahead(int64_t batch_size, const ModelInfo& info);

struct OrderedRun {
  int64_t window = 256;  ///< requests submitted and not yet handed to on_result: bounds memory
  // Called before a request is submitted, from the reading thread; may add an on_token. Optional.
  std::function<void(int64_t index, Request& request)> before_submit;
  // Called in the order of the source, from the calling thread, as soon as the turn of a result comes.
  std::function<void(int64_t index, Result&& result)> on_result;
};

// Runs everything that `source` gives through the engine: reads ahead, keeps the engine's batch full and
// hands out results in order. A fault of the source or of a request is thrown once everything before it has
// been handed out; Ctrl-C (an InterruptGuard must be alive) cancels what runs and returns. Returns how many
// results came out. However it ends, no callback of a request comes later.
int64_t run_in_order(Engine& engine, RequestSource& source, const OrderedRun& run);

}  // namespace bolide::apps
