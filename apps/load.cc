#include "apps/load.h"

#include <optional>

#include "apps/terminal.h"

namespace bolide::apps {

std::unique_ptr<Engine> load_engine(EngineConfig config, bool quiet) {
  std::optional<ProgressBar> bar;
  if (!quiet) {
    config.on_load = [&bar](int64_t done, int64_t total) {
      if (!bar) bar.emplace("load", total, false, Progress::Unit::kBytes);
      bar->set(done);
    };
  }
  return Engine::create(config);
}

}  // namespace bolide::apps
