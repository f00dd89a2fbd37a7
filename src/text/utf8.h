#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace bolide::text {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// `bytes` with each ill-formed sequence replaced by U+FFFD.
std::string to_utf8(std::string_view bytes);

// Well-formed text of any bytes, and the way back from its places to theirs.
class CleanText {
 public:
  explicit CleanText(std::string_view bytes);
  CleanText(const CleanText&) = delete;
  CleanText& operator=(const CleanText&) = delete;
  std::string_view text() const { return text_; }
  // The place in `bytes` of a character boundary of text().
  size_t source(size_t at) const;

 private:
  std::string owned_;  // only where something was replaced
  std::string_view text_;
  std::vector<std::pair<size_t, ptrdiff_t>> shifts_;  // from this place of text() on, source = place + shift
};

inline std::string to_string(char32_t c) {
  std::string out;
  append_char(out, c);
  return out;
}

}  // namespace bolide::text
