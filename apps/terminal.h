#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bolide::apps {

enum class Style { kPlain, kBold, kDim, kGreen, kRed };

// Whether somebody reads `fd` on a screen. Not under mpirun: it gives each rank a terminal of its own making,
// wherever the output then goes.
bool is_terminal(int fd);

// `text` in a style where file descriptor `fd` is a terminal and NO_COLOR is unset; else `text` itself.
std::string styled(std::string_view text, Style style, int fd);

// "1.25 GB", in powers of 1000.
std::string human_bytes(double bytes);
// "559,214,592"
std::string grouped(int64_t number);

// Columns aligned to their widest cell: the first to the left, the others to the right unless `left` is set.
class Table {
 public:
  explicit Table(std::vector<std::string> header, bool left = false);
  void add(std::vector<std::string> row);
  std::string text(int fd) const;  ///< `fd` is where it will be printed: the header is bold on a terminal

 private:
  std::vector<std::vector<std::string>> rows_;  // the header first
  bool left_;
};

// A one-line bar on stderr where that is a terminal. Elsewhere silent, or, when `in_pipes` is set, a line
// every tenth of the way. Not thread-safe.
class ProgressBar {
 public:
  ProgressBar(std::string label, int64_t total, bool in_pipes = false);
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void advance(std::string_view note = {});

 private:
  using Clock = std::chrono::steady_clock;
  void draw(std::string_view note) const;

  std::string label_;
  int64_t total_, done_ = 0;
  bool terminal_, in_pipes_;
  Clock::time_point start_ = Clock::now(), drawn_{};
};

}  // namespace bolide::apps
