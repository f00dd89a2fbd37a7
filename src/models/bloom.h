#pragma once

#include "models/family.h"

namespace bolide {

// BLOOM and BLOOMZ: ALiBi, a norm after the embedding, tied head, fused qkv ordered by head. Both residual
// variants.
extern const Family kBloomFamily;

}  // namespace bolide
