#pragma once

#include <spdlog/spdlog.h>

#include "bolide/log.h"

namespace bolide {

namespace log = ::spdlog;  // log::info("loaded {} tensors", n)

}  // namespace bolide
