#include "apps/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "apps/display_width.h"
#include "bolide/error.h"
#include "bolide/log.h"

namespace bolide::apps {
namespace {

const char* code_of(Style style) {
  switch (style) {
    case Style::kBold:
      return "\033[1m";
    case Style::kDim:
      return "\033[2m";
    case Style::kGreen:
      return "\033[32m";
    case Style::kRed:
      return "\033[31m";
    case Style::kPlain:
      break;
  }
  return "";
}

// "12/40", "1.20 GB/3.00 GB"; only what is done where the total is not known.
std::string counts_of(const Progress& progress) {
  const auto amount = [&](int64_t value) {
    return progress.unit == Progress::Unit::kBytes ? human_bytes(static_cast<double>(value))
                                                   : std::to_string(value);
  };
  return progress.total > 0 ? fmt::format("{}/{}", amount(progress.done), amount(progress.total))
                            : amount(progress.done);
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1 && !std::getenv("OMPI_COMM_WORLD_RANK"); }

size_t terminal_columns(int fd) {
  winsize size{};
  // A terminal that does not know its size says 0.
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string styled(std::string_view text, Style style, int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool colourless = (no_color && *no_color) || !is_terminal(fd);
  if (style == Style::kPlain || colourless) return std::string(text);
  return fmt::format("{}{}\033[0m", code_of(style), text);
}

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < std::size(units)) bytes /= 1000, ++unit;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, units[unit]);
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<size_t>(at), 1, ',');
  }
  return digits;
}

Table::Table(std::vector<std::string> header, bool left) : left_(left) { add(std::move(header)); }

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

std::string Table::text(int fd) const {
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], display_width(row[column]));
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      const std::string pad(widths[column] - display_width(row[column]), ' ');
      if (column > 0) line += "  ";
      line += column == 0 || left_ ? row[column] + pad : pad + row[column];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += styled(line, &row == &rows_.front() ? Style::kBold : Style::kPlain, fd) + "\n";
  }
  return out;
}

SettingsBlock::SettingsBlock(std::string_view title)
    : text_(fmt::format("{:=^60}\n", fmt::format(" {} ", title))) {}

void SettingsBlock::add(std::string_view name, std::string_view value) {
  text_ += fmt::format(" {:.<28} {}\n", fmt::format("{} ", name), printable(value));
}

std::string progress_line(const Progress& progress, std::string_view note, size_t columns) {
  constexpr size_t kBar = 30, kNarrowestBar = 5;
  const bool known = progress.total > 0;
  const double share =
      known ? std::min(1.0, static_cast<double>(progress.done) / static_cast<double>(progress.total)) : 0;
  std::string percent, time;
  if (known) {
    percent = fmt::format(" {:3.0f} %", share * 100);
    if (share > 0) time = fmt::format("  {:.0f} s left", progress.seconds * (1 - share) / share);
  } else if (progress.seconds > 0) {
    time = fmt::format("  {:.1f}/s", static_cast<double>(progress.done) / progress.seconds);
  }
  size_t room = columns;
  const auto claim = [&room](std::string text) {
    if (text.size() > room) return std::string();
    room -= text.size();
    return text;
  };
  percent = claim(std::move(percent));
  const std::string label = fit(progress.label, room);
  room -= display_width(label);
  const std::string counts = claim(fmt::format("  {}", counts_of(progress)));
  // The blank before the bar is the bar's.
  size_t bar = known && room > kNarrowestBar ? std::min(kBar, room - 1) : 0;
  if (bar > 0) room -= bar + 1;
  time = claim(std::move(time));
  std::string shown;
  constexpr size_t kShortestNote = 5;  // less says nothing
  if (!note.empty() && room >= 2 + std::min(display_width(note), kShortestNote))
    shown = fmt::format("  {}", fit(printable(note), room - 2));
  std::string line = label;
  if (bar > 0) {
    const auto filled = static_cast<size_t>(share * static_cast<double>(bar));
    line += fmt::format(" {}{}", styled(std::string(filled, '#'), Style::kGreen, STDERR_FILENO),
                        styled(std::string(bar - filled, '-'), Style::kDim, STDERR_FILENO));
  }
  return line + percent + counts + time + shown;
}

ProgressBar::ProgressBar(std::string label, int64_t total, bool in_pipes, Progress::Unit unit)
    : progress_{.label = std::move(label), .total = total, .unit = unit},
      terminal_(is_terminal(STDERR_FILENO)),
      in_pipes_(in_pipes && !terminal_ && total > 0) {
  if (terminal_) set_before_log([this] { clear(); });
}

ProgressBar::~ProgressBar() {
  if (!terminal_) return;
  set_before_log(nullptr);
  clear();
}

void ProgressBar::clear() {
  if (std::exchange(shown_, false)) std::fputs("\r\033[K", stderr);
}

void ProgressBar::set(int64_t done, std::string_view note) {
  const int64_t total = progress_.total;
  const int64_t before = std::exchange(progress_.done, done);
  if (in_pipes_ && 10 * done / total > 10 * before / total) {
    fmt::print(stderr, "{}: {}{}{}\n", progress_.label, counts_of(progress_), note.empty() ? "" : "  ", note);
  }
  if (!terminal_) return;
  const auto now = Clock::now();
  const bool last = done >= total && before < total;
  if (now - drawn_ < std::chrono::milliseconds(100) && !last) return;
  drawn_ = now;
  progress_.seconds = std::chrono::duration<double>(now - start_).count();
  // The last column stays free: a terminal that has written there may wrap before the line is cleared.
  const std::string line = progress_line(progress_, note, terminal_columns(STDERR_FILENO) - 1);
  ::flockfile(stderr);
  shown_ = true;
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
  ::funlockfile(stderr);
}

}  // namespace bolide::apps
