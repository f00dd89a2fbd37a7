#include "comm/termination.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace bolide {
namespace {

constexpr unsigned kGraceSeconds = 2;

using Handler = void (*)(int);
std::atomic<bool> came{false};
// Who had the signal before; called by ours.
std::atomic<Handler> before{SIG_DFL};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<Handler>::is_always_lock_free,
              "a signal handler may only touch lock-free atomics");

void on_terminate(int number) {
  const Handler next = before;
  if (came.exchange(true)) {
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
  } else if (next != SIG_DFL && next != SIG_IGN) {
    next(number);
  } else {
    alarm(kGraceSeconds);  // nobody handles SIGALRM: it ends the process
  }
}

void install() {
  struct sigaction mine {
  }, old{};
  mine.sa_handler = on_terminate;
  mine.sa_flags = SA_RESTART;
  sigemptyset(&mine.sa_mask);
  sigaction(SIGTERM, nullptr, &old);
  if (old.sa_handler == on_terminate) return;
  // A handler that wants the signal's origin cannot be called from here.
  before = old.sa_flags & SA_SIGINFO ? SIG_DFL : old.sa_handler;
  sigaction(SIGTERM, &mine, nullptr);
}

}  // namespace

TerminationWatch::TerminationWatch() { install(); }

TerminationWatch::~TerminationWatch() {
  struct sigaction now {};
  sigaction(SIGTERM, nullptr, &now);
  if (now.sa_handler != on_terminate) return;
  now.sa_handler = before;
  sigaction(SIGTERM, &now, nullptr);
}

void TerminationWatch::renew() { install(); }

bool TerminationWatch::requested() const { return came; }

}  // namespace bolide
