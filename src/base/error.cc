#include "bolide/error.h"

namespace bolide {

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(one_line(message)), code_(code) {}

}  // namespace bolide
