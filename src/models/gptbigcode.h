#pragma once

#include "models/family.h"

namespace bolide {

// GPT-BigCode (SantaCoder, StarCoder): GPT-2's graph, whose heads may share one key and value head.
extern const Family kGptBigCodeFamily;

}  // namespace bolide
