#pragma once

#include <filesystem>

#include "base/json.h"
#include "bolide/generation_config.h"

namespace bolide {

// The end ids of a Hugging Face model: those of generation_config.json where there is one beside
// `config_path` (none, when it names none), else those of config.json; a number, a list, or none. As in
// transformers a generation_config.json that is no JSON counts as not there, with a warning; what is neither
// an id nor a list of ids is kCorrupt.
std::vector<int32_t> read_end_ids(const Json& config, const std::filesystem::path& config_path, int64_t vocab,
                                  std::vector<std::string>& warnings);

}  // namespace bolide
