#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bolide/sampling.h"

namespace bolide {

/// How the makers of a model mean it to generate, from a generation_config.json, read as transformers reads
/// it: without "do_sample" the choice is greedy, whatever else the file says; with it a temperature, top-k or
/// top-p that the file does not name is 1, 50 or off.
struct GenerationConfig {
  std::string file = {};  ///< that the rest is from; empty: there is none
  std::optional<float> temperature = {};
  std::optional<int32_t> top_k = {};
  std::optional<float> top_p = {};
  std::optional<int32_t> max_new_tokens = {};
  /// In place of ModelInfo::end_ids, which follow the model's own file; none: these stay.
  std::optional<std::vector<int32_t>> end_ids = {};
  /// What the file asks for and this version does not do, "repetition_penalty 1.1".
  std::vector<std::string> left_out = {};
};
/// `model` is a model folder, or its config.json. `choice`: "auto" is the file of that folder, where there is
/// one and it is JSON; "none" is no file, and then the end ids are config.json's; else a
/// generation_config.json, or a folder that has one, which must be there. Throws kNotFound, and kCorrupt
/// naming file and key for a value that no setting can have.
GenerationConfig read_generation_config(const std::filesystem::path& model,
                                        const std::string& choice = "auto");

}  // namespace bolide
