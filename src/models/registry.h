#pragma once

#include "models/family.h"

namespace bolide {

// The family of a config.json or config.ini; kUnsupported naming the architecture and listing those that
// Bolide has.
const Family& find_family(const Json& config, std::string_view where);
const Family& find_family(const Ini& config, std::string_view where);

}  // namespace bolide
