#include "base/printable.h"

#include "base/utf8.h"

namespace bolide {
namespace {

constexpr size_t kMaxMessage = 2000;
constexpr size_t kMessageEnd = 500;  // of them: what to do about it stands there

// False for what a terminal or an editor acts on: C0, DEL, C1, separators of lines and paragraphs, the marks
// that embed, override or isolate directions, and the byte order mark.
bool is_shown(char32_t c) {
  const auto within = [c](char32_t low, char32_t high) { return c >= low && c <= high; };
  return !(c < 0x20 || within(0x7F, 0x9F) || c == 0x61C || within(0x200E, 0x200F) || within(0x2028, 0x202E) ||
           within(0x2066, 0x206F) || c == 0xFEFF);
}

// Appends the characters of `text` from `at` on, up to `most` of them, and returns where it stopped.
size_t append_shown(std::string& out, std::string_view text, size_t at, size_t most) {
  for (size_t count = 0; at < text.size() && count < most; ++count) {
    const Utf8Step step = utf8_step(text, at);
    if (step.valid && is_shown(char_at(text, at))) {
      out.append(text, at, step.size);
    } else {
      out += '?';
    }
    at += step.size;
  }
  return at;
}

}  // namespace

std::string printable(std::string_view value, size_t most) {
  std::string out;
  if (append_shown(out, value, 0, most) < value.size())
    out += "... (" + std::to_string(value.size()) + " bytes)";
  return out;
}

std::string one_line(std::string_view message) {
  std::string out;
  if (message.size() <= kMaxMessage) {
    append_shown(out, message, 0, kMaxMessage);
    return out;
  }
  constexpr std::string_view kGap = " [...] ";
  size_t begin = kMaxMessage - kMessageEnd - kGap.size(), end = message.size() - kMessageEnd;
  while (begin > 0 && is_continuation(message[begin])) --begin;
  while (end < message.size() && is_continuation(message[end])) ++end;
  append_shown(out, message.substr(0, begin), 0, kMaxMessage);
  out += kGap;
  append_shown(out, message, end, kMaxMessage);
  return out;
}

}  // namespace bolide
