#include "apps/interrupt.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <string>

#include "bolide/error.h"

namespace bolide::apps {
namespace {

std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

// Ctrl-C, kill, and the end of the terminal.
constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
std::array<struct sigaction, kSignals.size()> before;

void remember(int signal) { received = signal; }

}  // namespace

InterruptGuard::InterruptGuard() {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before[i]);
    // What nohup and a shell's job in the background ignore is for others.
    if (before[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before[i], nullptr);
}

int interrupted() { return received; }

void stop_if_interrupted(std::string_view outcome) {
  if (interrupted()) throw Error(ErrorCode::kResource, std::string("interrupted: ").append(outcome));
}

}  // namespace bolide::apps
