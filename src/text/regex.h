#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/work.h"

namespace bolide::text {

// A stretch of text, and whether a pattern matched it.
struct Match {
  size_t begin, end;
  bool matched;
};

// An Oniguruma pattern, the engine that the `tokenizers` package compiles these files' patterns with.
// Const methods are thread-safe.
class Regex {
 public:
  // kUnsupported naming `where` for a pattern that does not compile.
  Regex(const std::string& pattern, std::string_view where);
  // A pattern that matches `text` alone.
  static Regex literal(const std::string& text, std::string_view where);

  // All of `text` (well-formed UTF-8) cut into matches and what lies between them, appended to `out`.
  // kUnsupported when the pattern backtracks for longer than any sane one does, in one search or in all that
  // `work` counts together.
  void split(std::string_view text, std::vector<Match>& out, Work& work) const;

 private:
  // The next match from `from` on, in the thread's region; false: none.
  bool search(std::string_view text, size_t from, Work& work) const;
  struct Free {
    void operator()(void* regex) const;
  };
  std::unique_ptr<void, Free> regex_;      // null: the pattern is literal_
  std::string literal_, where_, pattern_;  // the last two for errors
  Regex() = default;
};

}  // namespace bolide::text
