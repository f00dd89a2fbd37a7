#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/options.h"
#include "apps/terminal.h"
#include "bolide/engine.h"

namespace bolide::apps {

// The flags of `lambada`: its own, and all of FasterTransformer's bloom_lambada.py with its defaults.
struct LambadaFlags {
  ModelFlags model;
  std::string dataset_path, output_path;
  int64_t batch_size = 8;
  std::optional<double> acc_threshold;
  bool show_progress = false;

  int32_t top_k = 1;
  float top_p = 1, temperature = 1;
  std::vector<uint64_t> random_seed = {0};
  double shared_contexts_ratio = 1;
  // What the checkpoint says already; where they are given, they must say the same.
  std::optional<int64_t> num_heads, size_per_head, inter_size, num_layers, vocab_size, start_id, end_id;
  std::string weights_data_type;
};

void add_lambada_flags(CLI::App& app, LambadaFlags& flags);

// kUsage for a flag that contradicts the loaded model.
void check_against(const LambadaFlags& flags, const ModelInfo& info);

// What FasterTransformer's script prints before it starts: its arguments, and the model that it has loaded.
SettingsBlock arguments_of(const LambadaFlags& flags);
SettingsBlock model_of(const LambadaFlags& flags, const ModelInfo& info);

}  // namespace bolide::apps
