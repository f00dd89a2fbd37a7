#pragma once

#include <functional>
#include <thread>

namespace bolide {

// How many of `wanted` threads this process can start beside those that it has. They are started, and end at
// once: limits come from many sides (ulimit -u, the pids of a control group, memory), and OpenMP ends the
// process where it cannot start one. 64 of them take a millisecond.
int startable_threads(int wanted);

// A thread. kResource where the system refuses one.
std::thread start_thread(std::function<void()> body);

}  // namespace bolide
