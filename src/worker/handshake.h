#pragma once

#include <string>

#include "worker/rank_config.h"

namespace bolide {

// Holds what all ranks must have in common, a line each, against each other. Every rank calls it; kUsage on
// all of them naming the first rank that differs, and in what.
void check_alike(Transport& world, const std::string& lines);

// Build, model and settings, for check_alike().
std::string common_settings(const RankConfig& config);

}  // namespace bolide
