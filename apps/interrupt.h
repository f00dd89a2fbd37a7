#pragma once

#include <string_view>

namespace bolide::apps {

// While one is alive, Ctrl-C (and SIGTERM and SIGHUP) sets a flag instead of ending the process, so that what
// is half done can be cleaned up; a second one ends it at once. A signal that is ignored stays so. One at a
// time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();  // restores what Ctrl-C did before
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

// The signal that came, or 0.
int interrupted();
// Once one has come: kResource, "interrupted: " and what became of the work.
void stop_if_interrupted(std::string_view outcome);

}  // namespace bolide::apps
