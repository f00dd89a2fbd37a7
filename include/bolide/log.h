#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace bolide {

/// Log lines go to stderr. `level` is trace|debug|info|warning|error|off, upper or lower case; an empty
/// string takes BOLIDE_LOG_LEVEL, then FT_LOG_LEVEL, then "warning". Throws kUsage for another word.
void set_log_level(const std::string& level);

/// `clear` is called before each log line, to take away what a terminal shows on the line at hand, such as a
/// progress bar. Stderr is locked (flockfile) meanwhile, as it must be while that is drawn. Null: nothing.
void set_before_log(std::function<void()> clear);

/// Warnings of one kind, of which a file may give thousands: one line has the first, and how many more there
/// are.
class Warnings {
 public:
  /// `warning` makes the text, and is called for the first one alone.
  void add(const std::function<std::string()>& warning) {
    if (count_++ == 0) first_ = warning();
  }
  void log() const;  ///< nothing where none was added

 private:
  std::string first_;
  size_t count_ = 0;
};

}  // namespace bolide
