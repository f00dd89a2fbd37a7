#pragma once

#include "base/json.h"
#include "models/decoder.h"

namespace bolide {

// The config.json of GPT-J and CodeGen, whose graphs are the same: attention and MLP read one norm, and the
// first rotary_dim of each head turn, neighbours in pairs.
ModelConfig read_interleaved_decoder(const Json& json, std::string_view architecture, std::string_view where);

}  // namespace bolide
