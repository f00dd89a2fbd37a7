#include "apps/follow.h"

#include <chrono>
#include <exception>
#include <thread>

namespace bolide::apps {

bool followed(const EngineConfig& config) {
  if (process_rank() == 0) return false;
  follow(config);
  return true;
}

void let_first_rank_speak() noexcept {
  // mpirun takes a second to end the others.
  constexpr std::chrono::seconds kWait{3};
  try {
    if (said_by_first_rank()) std::this_thread::sleep_for(kWait);
  } catch (const std::exception&) {
    // Variables that contradict each other are what is about to be said.
  }
}

}  // namespace bolide::apps
