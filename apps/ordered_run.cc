#include "apps/ordered_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "apps/interrupt.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

// Three threads: the reader submits, the caller waits for results in order, the watcher cancels on Ctrl-C (a
// wait cannot be cut short from a signal handler).
class Runner {
 public:
  Runner(Engine& engine, RequestSource& source, const OrderedRun& run)
      : engine_(engine), source_(source), run_(run) {
    try {
      reader_ = std::thread([this] { read(); });
      watcher_ = std::thread([this] { watch(); });
    } catch (...) {  // a limit on threads
      end();
      throw;
    }
  }

  ~Runner() { end(); }

  int64_t hand_out() {
    for (int64_t index = 0;; ++index) {
      uint64_t request = 0;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !submitted_.empty() || finished_reading_; });
        if (submitted_.empty()) {
          if (error_) std::rethrow_exception(error_);
          return index;
        }
        request = submitted_.front();
      }
      Result result = engine_.wait(request);
      {
        std::lock_guard lock(mutex_);
        submitted_.pop_front();
      }
      changed_.notify_all();
      if (interrupted()) return index;
      run_.on_result(index, std::move(result));
    }
  }

 private:
  bool stopped() {
    if (interrupted()) return true;
    std::lock_guard lock(mutex_);
    return stop_;
  }

  void end() {
    stop();
    for (std::thread* thread : {&reader_, &watcher_})
      if (thread->joinable()) thread->join();
    // Until they have ended the engine calls back, and writes where our caller wants to write.
    for (const uint64_t request : submitted_) {
      try {
        engine_.wait(request);
      } catch (...) {  // its own fault, or it was waited for
      }
    }
  }

  void stop() {
    std::deque<uint64_t> running;
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      running = submitted_;
    }
    changed_.notify_all();
    for (uint64_t request : running) engine_.cancel(request);
  }

  void read() {
    try {
      Request request;
      for (int64_t index = 0; source_.next(request, [this] { return stopped(); }); ++index) {
        if (run_.before_submit) run_.before_submit(index, request);
        std::unique_lock lock(mutex_);
        changed_.wait(lock,
                      [this] { return stop_ || static_cast<int64_t>(submitted_.size()) < run_.window; });
        if (stop_) break;
        submitted_.push_back(submit(std::move(request)));
        lock.unlock();
        changed_.notify_all();
      }
    } catch (...) {
      std::lock_guard lock(mutex_);
      // After a signal that is its own doing: the tokenizer stops, too.
      if (!interrupted()) error_ = std::current_exception();
    }
    std::lock_guard lock(mutex_);
    finished_reading_ = true;
    changed_.notify_all();
  }

  uint64_t submit(Request&& request) {
    try {
      return engine_.submit(std::move(request));
    } catch (const Error& error) {
      const ErrorCode code = error.code() == ErrorCode::kUsage ? source_.fault() : error.code();
      throw Error(code, fmt::format("{}: {}", source_.where(), error.what()));
    }
  }

  void watch() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      changed_.wait_for(lock, std::chrono::milliseconds(50));
      if (!interrupted()) continue;
      lock.unlock();
      stop();
      return;
    }
  }

  Engine& engine_;
  RequestSource& source_;
  const OrderedRun& run_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<uint64_t> submitted_;  // not yet handed out, in order
  bool finished_reading_ = false, stop_ = false;
  std::exception_ptr error_;
  std::thread reader_, watcher_;  // last: they use all of the above
};

}  // namespace

int64_t read_ahead(int64_t batch_size, const ModelInfo& info) {
  constexpr int64_t kLeast = 64, kMaxWaiting = 4096;
  // Each that runs has a page of the cache at least.
  const int64_t places = std::min(batch_size, info.kv_capacity_tokens / EngineConfig().page_size);
  return std::max(kLeast, places + std::min(3 * places, kMaxWaiting));
}

int64_t run_in_order(Engine& engine, RequestSource& source, const OrderedRun& run) {
  return Runner(engine, source, run).hand_out();
}

}  // namespace bolide::apps
