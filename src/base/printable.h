#pragma once

#include <string>
#include <string_view>

namespace bolide {

// Text from a file made fit for a one-line message: control bytes become '?', over 120 bytes are cut.
std::string printable(std::string_view text);

}  // namespace bolide
