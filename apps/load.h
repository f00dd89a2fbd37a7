#pragma once

#include <memory>

#include "bolide/engine.h"

namespace bolide::apps {

// Engine::create(), with a bar on the terminal as the weights are read, unless `quiet`. While an
// InterruptGuard is alive Ctrl-C ends it (kResource).
std::unique_ptr<Engine> load_engine(EngineConfig config, bool quiet);

}  // namespace bolide::apps
