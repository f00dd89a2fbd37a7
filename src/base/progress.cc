#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace bolide {

ProgressBar::ProgressBar(std::string label, int64_t total)
    : label_(std::move(label)), total_(std::max<int64_t>(total, 1)), enabled_(::isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (enabled_) std::fprintf(stderr, "\r\033[K");
}

void ProgressBar::add(int64_t amount) {
  done_ += amount;
  const auto now = Clock::now();
  if (!enabled_ || (now - drawn_ < std::chrono::milliseconds(100) && done_ < total_)) return;
  draw(now);
}

void ProgressBar::draw(Clock::time_point now) {
  constexpr int kWidth = 30;
  drawn_ = now;
  const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  const int filled = static_cast<int>(share * kWidth);
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double left = share > 0 ? elapsed * (1 - share) / share : 0;
  std::fprintf(stderr, "\r%s [%s%s%s] %3.0f %%  eta %.0f s\033[K", label_.c_str(),
               std::string(filled, '=').c_str(), filled < kWidth ? ">" : "",
               std::string(std::max(0, kWidth - filled - 1), ' ').c_str(), share * 100, left);
  std::fflush(stderr);
}

}  // namespace bolide
