#pragma once

namespace bolide {
inline constexpr const char* kVersion = "0.1.0";
}
