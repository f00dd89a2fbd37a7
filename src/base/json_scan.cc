#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/utf8.h"
#include "bolide/json.h"

namespace bolide {
namespace {

// ASCII that stands for itself within a string.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Scanner {
 public:
  Scanner(std::string_view text, std::string_view where, JsonEvents& events, bool is_line)
      : text_(text), where_(where), events_(events), is_line_(is_line) {}

  void run() {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    do {
      while (read_value()) {
      }
    } while (read_separators());
    if (at_ < text_.size()) expected("nothing more");
  }

 private:
  // Past the end there is a zero byte, which no rule takes.
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void skip_blanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }

  // Reads a scalar, an empty container, or the opening of one: then the value that comes first in it is next,
  // and the answer is true.
  bool read_value() {
    skip_blanks();
    const char c = peek();
    if (c == '{' || c == '[') {
      const bool is_object = c == '{';
      if (depth_ == kMaxJsonDepth)
        fail(ErrorCode::kCorrupt, "{}: JSON is nested deeper than {}{}", where_, kMaxJsonDepth, place());
      in_object_[depth_++] = is_object;
      ++at_;
      events_.begin(is_object);
      skip_blanks();
      if (peek() == (is_object ? '}' : ']')) return close(), false;
      if (is_object) read_key("a key in double quotes or '}'");
      return true;
    }
    if (c == '"') {
      read_string();
      if (half_pair_) {
        events_.other("half a surrogate pair");
      } else {
        events_.string(buffer_);
      }
    } else if (c == '-' || is_digit(c)) {
      read_number();
    } else {
      read_word();
    }
    return false;
  }

  // Closes what ends here; true when another value follows a comma.
  bool read_separators() {
    for (;; close()) {
      skip_blanks();
      if (depth_ == 0) return false;
      const bool is_object = in_object_[depth_ - 1];
      if (peek() == (is_object ? '}' : ']')) continue;
      if (!take(",")) expected(is_object ? "',' or '}'" : "',' or ']'");
      skip_blanks();
      if (is_object) read_key("a key in double quotes");
      return true;
    }
  }

  void close() {
    ++at_;
    --depth_;
    events_.end();
  }

  void read_key(const char* wanted) {
    if (peek() != '"') expected(wanted);
    read_string();
    if (half_pair_) fail_at("a key holds half a surrogate pair");
    skip_blanks();
    if (!take(":")) expected("':'");
    events_.key(buffer_);
  }

  // Into buffer_, from the quote at hand on.
  void read_string() {
    ++at_;
    buffer_.clear();
    half_pair_ = false;
    for (;;) {
      const size_t begin = at_;
      while (at_ < text_.size() && kPlain[static_cast<unsigned char>(text_[at_])]) ++at_;
      buffer_.append(text_, begin, at_ - begin);
      if (at_ == text_.size()) expected("'\"' at the end of a string");
      const char c = text_[at_];
      if (c == '"') break;
      if (c == '\\') {
        read_escape();
      } else if (static_cast<unsigned char>(c) < 0x20) {
        expected("a string without control characters (a line break is \\n)");
      } else {
        const Utf8Step step = utf8_step(text_, at_);
        if (!step.valid) expected("UTF-8");
        buffer_.append(text_, at_, step.size);
        at_ += step.size;
      }
    }
    ++at_;
  }

  void read_escape() {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    ++at_;
    if (const size_t which = kNames.find(peek()); which != kNames.npos) {
      buffer_ += kMeant[which];
      ++at_;
      return;
    }
    if (peek() != 'u') expected("one of \" \\ / b f n r t u behind a backslash");
    char32_t c = read_hex();
    if (c >= 0xD800 && c < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
      const size_t second = at_++;
      const char32_t low = read_hex();
      if (low >= 0xDC00 && low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
      } else {
        at_ = second;
      }
    }
    if (c >= 0xD800 && c < 0xE000) {
      half_pair_ = true;
    } else {
      append_char(buffer_, c);
    }
  }

  // The four digits behind the u at hand.
  char32_t read_hex() {
    ++at_;
    char32_t c = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char digit = peek();
      const char lower = static_cast<char>(digit | 0x20);
      if (is_digit(digit)) {
        c = c << 4 | static_cast<char32_t>(digit - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        c = c << 4 | static_cast<char32_t>(lower - 'a' + 10);
      } else {
        expected("four hexadecimal digits behind \\u");
      }
    }
    return c;
  }

  void read_digits() {
    if (!is_digit(peek())) expected("a digit");
    while (is_digit(peek())) ++at_;
  }

  void read_number() {
    const size_t begin = at_;
    const bool negative = take("-");
    if (negative && take("Infinity")) return events_.other("-Infinity");
    if (!take("0")) read_digits();
    if (is_digit(peek())) {
      --at_;
      expected("a number without a zero at its begin");
    }
    bool whole = true;
    if (take(".")) {
      whole = false;
      read_digits();
    }
    if (take("e") || take("E")) {
      whole = false;
      if (!take("+")) take("-");
      read_digits();
    }
    const char *first = text_.data() + begin, *last = text_.data() + at_;
    int64_t integer = 0;
    uint64_t large = 0;
    double real = 0;
    if (whole && std::from_chars(first, last, integer).ec == std::errc()) return events_.integer(integer);
    if (whole && !negative && std::from_chars(first, last, large).ec == std::errc())
      return events_.large(large);
    if (std::from_chars(first, last, real).ec != std::errc())  // too large, or so small that it is 0
      real = std::strtod(std::string(first, last).c_str(), nullptr);
    if (std::isinf(real)) return events_.other(negative ? "-Infinity" : "Infinity");
    events_.real(real);
  }

  void read_word() {
    for (const char* word : {"null", "true", "false", "NaN", "Infinity"})
      if (take(word)) return events_.other(word);
    expected("a value");
  }

  std::string place() const {
    std::string_view before = text_.substr(0, at_);
    size_t line = 1, column = 1;
    for (const char c : before) line += c == '\n';
    before.remove_prefix(before.rfind('\n') + 1);
    for (const char c : before) column += !is_continuation(c);
    return is_line_ ? fmt::format(" at column {}", column)
                    : fmt::format(" at line {}, column {}", line, column);
  }

  // What stands here, for a message.
  std::string found() const {
    if (at_ == text_.size()) return "the end of the text";
    if (text_[at_] == '\0') return "a zero byte";
    const Utf8Step step = utf8_step(text_, at_);
    if (!step.valid) return "a byte that is not UTF-8";
    size_t end = at_;
    while (end < text_.size() && end < at_ + 20 && is_word(text_[end])) ++end;
    return fmt::format("'{}'", printable(text_.substr(at_, std::max<size_t>(end - at_, step.size))));
  }

  [[noreturn]] void fail_at(std::string_view what) const {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON{}: {}", where_, place(), what);
  }
  [[noreturn]] void expected(std::string_view what) const {
    fail_at(fmt::format("expected {}, found {}", what, found()));
  }

  std::string_view text_, where_;
  JsonEvents& events_;
  bool is_line_;
  size_t at_ = 0, depth_ = 0;
  std::bitset<kMaxJsonDepth> in_object_;  // of each container that is open
  std::string buffer_;                    // the string at hand
  bool half_pair_ = false;
};

}  // namespace

void scan_json(std::string_view text, std::string_view where, JsonEvents& events, bool is_line) {
  Scanner(text, where, events, is_line).run();
}

}  // namespace bolide
