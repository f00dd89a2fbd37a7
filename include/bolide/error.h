#pragma once

#include <stdexcept>
#include <string>

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

/// The one exception type that leaves the library. what() is one line that names the thing and says what to
/// do.
class Error : public std::runtime_error {
 public:
  /// Control bytes of `message` (a newline out of a hostile file, say) become '?'.
  Error(ErrorCode code, const std::string& message);
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace bolide
