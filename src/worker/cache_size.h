#pragma once

#include "worker/rank.h"

namespace bolide {

// Gives the worker its cache. All ranks call it together, with all else in memory that they need: they agree
// on a size, which is what the rank with the least memory can have, and return once all have it, with the
// bytes of weights that they hold together.
int64_t take_cache(Worker& worker, const RankParts& parts, const RankConfig& config);

}  // namespace bolide
