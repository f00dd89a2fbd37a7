#pragma once

#include "checkpoint/ft_bin.h"
#include "weights/name_table.h"

namespace bolide {

// The files that an FT folder has of these weights: shapes and split axes follow from the specs.
std::vector<FtTensor> ft_tensors(std::span<const WeightSpec> specs, const NameTable& names);

}  // namespace bolide
