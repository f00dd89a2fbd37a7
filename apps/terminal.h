#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bolide::apps {

enum class Style { kPlain, kBold, kDim, kGreen, kRed };

// Whether somebody reads `fd` on a screen. Not under mpirun: it gives each rank a terminal of its own making,
// wherever the output then goes.
bool is_terminal(int fd);

// `text` in a style where file descriptor `fd` is a terminal and NO_COLOR is unset; else `text` itself.
std::string styled(std::string_view text, Style style, int fd);

// Columns of the terminal behind `fd`; 80 where nothing says.
size_t terminal_columns(int fd);

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

// The settings of a run as FasterTransformer's scripts show them: a title, then a line a setting.
class SettingsBlock {
 public:
  explicit SettingsBlock(std::string_view title);
  void add(std::string_view name, std::string_view value);
  void add(std::string_view name, const char* value) { add(name, std::string_view(value)); }
  void add(std::string_view name, bool value) { add(name, value ? "true" : "false"); }
  template <class Number>
  requires std::is_arithmetic_v<Number>
  void add(std::string_view name, Number value) { add(name, std::string_view(fmt::format("{}", value))); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What a bar shows: "load ####------ 40 %  1.20/3.00 GB  3 s left  note", in at most `columns` columns. What
// does not fit is left out, the note first, then the time, the bar and the counts. A total of 0 is not known.
struct Progress {
  enum class Unit : uint8_t { kCount, kBytes };
  std::string label;
  int64_t done = 0, total = 0;
  Unit unit = Unit::kCount;
  double seconds = 0;  // since the start
};
std::string progress_line(const Progress& progress, std::string_view note, size_t columns);

// A one-line bar on stderr where that is a terminal, never wider than that; log lines clear it first.
// Elsewhere silent, or, when `in_pipes` is set, a line every tenth of the way. Not thread-safe; one at a
// time.
class ProgressBar {
 public:
  ProgressBar(std::string label, int64_t total, bool in_pipes = false,
              Progress::Unit unit = Progress::Unit::kCount);
  ~ProgressBar();  // clears the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void advance(std::string_view note = {}) { set(progress_.done + 1, note); }
  void set(int64_t done, std::string_view note = {});

 private:
  using Clock = std::chrono::steady_clock;
  void clear();

  Progress progress_;
  bool terminal_, in_pipes_;
  bool shown_ = false;  // under stderr's lock
  Clock::time_point start_ = Clock::now(), drawn_{};
};

}  // namespace bolide::apps
