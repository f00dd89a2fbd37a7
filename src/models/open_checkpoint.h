#pragma once

#include <filesystem>
#include <memory>

#include "checkpoint/tensor_source.h"
#include "models/family.h"

namespace bolide {

enum class CheckpointFormat : uint8_t { kHuggingFace, kFasterTransformer };

// A model folder, opened: config and headers only, and held against the model (see check_complete).
struct Checkpoint {
  CheckpointFormat format = CheckpointFormat::kHuggingFace;
  const Family* family = nullptr;
  ModelConfig config = {};
  std::unique_ptr<TensorSource> source = {};
  int ft_ranks = 1;  // N of an FT folder
  // What its files call the weights.
  const NameTable& names() const {
    return format == CheckpointFormat::kHuggingFace ? family->hf_names : family->ft->names;
  }
};
Checkpoint open_checkpoint(const std::filesystem::path& folder);

// A family and a config of it, from a config.json (or the folder that holds it), or an FT folder's
// config.ini, alone.
struct ModelSettings {
  const Family* family = nullptr;
  ModelConfig config = {};
};
ModelSettings read_model_settings(const std::filesystem::path& path);

// Tells the user what config.warnings holds. Once a run.
void log_warnings(const ModelConfig& config);

}  // namespace bolide
