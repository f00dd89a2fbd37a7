#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bolide {

/// Takes in a JSON text event by event.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void begin(bool is_object) = 0;  ///< of a list or object
  virtual void end() = 0;
  virtual void key(std::string& key) = 0;  ///< may be moved from, as may a string
  virtual void string(std::string& value) = 0;
  virtual void integer(int64_t value) = 0;
  /// A whole number over 2^63 - 1; what is over 2^64 - 1 is real().
  virtual void large(uint64_t value) { real(static_cast<double>(value)); }
  virtual void real(double value) = 0;  ///< always finite
  /// null, true or false, or what Python writes although JSON has no such value: "NaN", "Infinity",
  /// "-Infinity" (which 1e999 is, too), "half a surrogate pair" for a string that holds one.
  virtual void other(const char* what) = 0;
};

/// No JSON nests deeper: real files stay under 10, and hostile ones must not exhaust the stack.
inline constexpr size_t kMaxJsonDepth = 256;
/// What a tree of a text's values may take, about: enough for the densest real files, and a bound for those
/// that turn 60 MB of brackets into 5 GB.
inline constexpr size_t max_json_tree_bytes(size_t text_bytes) { return (size_t{4} << 20) + 16 * text_bytes; }

/// Reads one JSON text (UTF-8, with or without a mark at its begin) and gives its events to `events`, whose
/// exceptions pass through. kCorrupt, naming `where`, the line, the column and what was expected, for all
/// that is not JSON, a zero byte and what stands behind the value among it; and for what nests deeper than
/// kMaxJsonDepth. `is_line`: the text is a line of a file that `where` names already, so that a place is a
/// column alone.
void scan_json(std::string_view text, std::string_view where, JsonEvents& events, bool is_line = false);

}  // namespace bolide
