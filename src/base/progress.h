#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace bolide {

// A one-line bar on stderr: "convert  [=====>    ] 52 %  eta 3 s". Silent unless stderr is a terminal.
// Not thread-safe: call add() under the caller's lock.
class ProgressBar {
 public:
  ProgressBar(std::string label, int64_t total);
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void add(int64_t amount);

 private:
  using Clock = std::chrono::steady_clock;
  void draw(Clock::time_point now);
  std::string label_;
  int64_t total_;
  int64_t done_ = 0;
  bool enabled_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_{};
};

}  // namespace bolide
