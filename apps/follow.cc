#include "apps/follow.h"

namespace bolide::apps {

bool followed(const EngineConfig& config) {
  if (process_rank() == 0) return false;
  follow(config);
  return true;
}

}  // namespace bolide::apps
