#include "base/threads.h"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace bolide {

int startable_threads(int wanted) {
  std::mutex mutex;
  std::condition_variable ended;
  bool end = false;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(wanted));
  try {
    for (int i = 0; i < wanted; ++i) {
      threads.emplace_back([&] {
        std::unique_lock lock(mutex);
        ended.wait(lock, [&] { return end; });
      });
    }
  } catch (const std::system_error&) {  // that was all
  }
  {
    const std::lock_guard lock(mutex);
    end = true;
  }
  ended.notify_all();
  for (std::thread& thread : threads) thread.join();
  return static_cast<int>(threads.size());
}

std::thread start_thread(std::function<void()> body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    fail(ErrorCode::kResource,
         "cannot start a thread: {} (ulimit -u, or the limit on pids of a control group)", error.what());
  }
}

}  // namespace bolide
