#pragma once

#include <string>

namespace bolide {

/// Log lines go to stderr. `level` is trace|debug|info|warning|error|off, upper or lower case; an empty
/// string takes BOLIDE_LOG_LEVEL, then FT_LOG_LEVEL, then "warning". Throws kUsage for another word.
void set_log_level(const std::string& level);

}  // namespace bolide
