#pragma once

#include "base/json.h"
#include "layers/rotary.h"
#include "models/model.h"

namespace bolide {

// The rotary positions of a config.json, in transformers 5's "rope_parameters" or the older "rope_scaling"
// and "rope_theta". `default_positions` is the family's max_position_embeddings where the file has none.
// kUnsupported for a kind that this version does not have, kCorrupt for numbers that no such kind can have.
RopeParameters read_rope_parameters(const Json& config, int64_t default_positions, const ModelConfig& sizes,
                                    std::string_view where);

}  // namespace bolide
