#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "bolide/engine.h"

namespace bolide::apps {

// How fast a run was: prompt tokens a second, new tokens a second, and the time to the first token.
class RunSummary {
 public:
  // Watches the engine's steps from here on. The engine may outlive it.
  explicit RunSummary(Engine& engine);
  // Of each request, before it is submitted: times the first one.
  void before_submit(int64_t index, Request& request);
  void add(const Result& result) { new_tokens_ += static_cast<int64_t>(result.output_ids.size()); }
  // "prompt 5 at 120.0 tokens/s, output 24 at 60.1 tokens/s, first token after 42 ms"
  std::string text() const;

 private:
  using Clock = std::chrono::steady_clock;
  // Shared with callbacks that the engine keeps.
  struct Steps;

  std::shared_ptr<Steps> steps_;
  int64_t new_tokens_ = 0;
  Clock::time_point start_ = Clock::now();
};

}  // namespace bolide::apps
