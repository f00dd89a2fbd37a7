#include "apps/load.h"

#include <optional>

#include "apps/interrupt.h"
#include "apps/terminal.h"

namespace bolide::apps {

std::unique_ptr<Engine> load_engine(EngineConfig config, bool quiet) {
  std::optional<ProgressBar> bar;
  config.on_load = [&bar, quiet](int64_t done, int64_t total) {
    stop_if_interrupted("the model is not loaded");
    if (quiet) return;
    if (!bar) bar.emplace("load", total, false, Progress::Unit::kBytes);
    bar->set(done);
  };
  return Engine::create(config);
}

}  // namespace bolide::apps
