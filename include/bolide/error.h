#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bolide {

/// What kind of fault an Error reports. The command turns kUsage into exit code 2 and all others into 1.
enum class ErrorCode {
  kUsage,        ///< a flag, a request field or an API argument that cannot be honoured
  kNotFound,     ///< a file or folder that is not there
  kCorrupt,      ///< a file whose content is damaged, hostile or does not match what it claims
  kUnsupported,  ///< well-formed, but Bolide does not do it (yet)
  kResource,     ///< out of memory, disk or cache pages
  kInternal,     ///< a fault of Bolide itself
};

/// A value out of a file, a flag or a request made fit to be shown. What a terminal acts on instead of
/// showing it (control characters, marks that turn the direction of text, line separators) and what is no
/// UTF-8 become '?', and after `most` characters it is cut: "the first ones... (10000 bytes)".
std::string printable(std::string_view value, size_t most = 200);

/// A whole message made fit to be shown, in the same way, as one line of at most 2000 bytes: of a longer one
/// the middle is left out.
std::string one_line(std::string_view message);

/// The one exception type that leaves the library. what() is one line that names the thing and says what to
/// do.
class Error : public std::runtime_error {
 public:
  /// `message` goes through one_line().
  Error(ErrorCode code, const std::string& message);
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace bolide
