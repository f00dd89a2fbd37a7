#include "apps/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

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

// Code points: good enough for names and numbers.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1 && !std::getenv("OMPI_COMM_WORLD_RANK"); }

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

Table::Table(std::vector<std::string> header, bool left) : rows_{std::move(header)}, left_(left) {}

void Table::add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

std::string Table::text(int fd) const {
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], width_of(row[column]));
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      const std::string pad(widths[column] - width_of(row[column]), ' ');
      if (column > 0) line += "  ";
      line += column == 0 || left_ ? row[column] + pad : pad + row[column];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += styled(line, &row == &rows_.front() ? Style::kBold : Style::kPlain, fd) + "\n";
  }
  return out;
}

ProgressBar::ProgressBar(std::string label, int64_t total, bool in_pipes)
    : label_(std::move(label)),
      total_(std::max<int64_t>(total, 1)),
      terminal_(is_terminal(STDERR_FILENO)),
      in_pipes_(in_pipes && !terminal_) {}

ProgressBar::~ProgressBar() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::advance(std::string_view note) {
  const int64_t tenth_before = 10 * done_ / total_;
  ++done_;
  if (in_pipes_ && 10 * done_ / total_ > tenth_before) {
    fmt::print(stderr, "{}: {}/{}{}{}\n", label_, done_, total_, note.empty() ? "" : "  ", note);
  }
  const auto now = Clock::now();
  if (!terminal_ || (now - drawn_ < std::chrono::milliseconds(100) && done_ < total_)) return;
  drawn_ = now;
  draw(note);
}

void ProgressBar::draw(std::string_view note) const {
  constexpr int kWidth = 30;
  const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  const int filled = static_cast<int>(share * kWidth);
  const double elapsed = std::chrono::duration<double>(drawn_ - start_).count();
  fmt::print(stderr, "\r{} {}{} {:3.0f} %  {}/{}  {:.0f} s left{}{}\033[K", label_,
             styled(std::string(static_cast<size_t>(filled), '#'), Style::kGreen, STDERR_FILENO),
             styled(std::string(static_cast<size_t>(kWidth - filled), '-'), Style::kDim, STDERR_FILENO),
             share * 100, done_, total_, elapsed * (1 - share) / share, note.empty() ? "" : "  ", note);
  std::fflush(stderr);
}

}  // namespace bolide::apps
