#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bolide/engine.h"

namespace bolide::apps {

// A generation parameter of FasterTransformer that this version does not have. Its neutral value changes
// nothing and is accepted; any other value is refused, as a flag and as a field of a request alike.
struct NeutralParameter {
  const char* name;  ///< as the flag, without the dashes
  double neutral;
};
std::span<const NeutralParameter> neutral_parameters();

// The flags that every command which loads a model has.
struct ModelFlags {
  std::string model, tokenizer_path, load_format = "auto", device = "cpu", data_type;
  bool quiet = false;
  int threads = 0;
  int64_t max_kv_tokens = 0, max_chunk_tokens = 0;
  // On a GPU only.
  std::vector<int> devices;
  std::optional<double> kv_cache_fraction;
  bool deterministic = false, no_cuda_graphs = false;
  std::string gemm_config;
  // Of several ranks.
  int tensor_para_size = 1, pipeline_para_size = 1;
  std::string transport = "auto", all_reduce;  // empty: the engine's default
  double comm_timeout = 60;
  int64_t micro_batch_tokens = 0;
};
void add_model_flags(CLI::App& app, ModelFlags& flags);
EngineConfig engine_config(const ModelFlags& flags, int64_t max_batch_size);
// Unless the flags say otherwise: `tokens` of prompts in one step, as long as the activations stay small
// beside the weights.
void fit_chunk(const ModelFlags& flags, int64_t tokens, EngineConfig& config);

// "bloom, 559,214,592 bytes of fp32 weights, cpu (AVX-512), loaded in 0.4 s"
std::string describe(const ModelInfo& info);

// --quiet: no progress bars, no closing line about speed.
void add_quiet(CLI::App& app, bool& quiet);
// --log-level, for commands without the model flags too.
void add_log_level(CLI::App& app);
// --data-type; `note` says what it applies to. Types that no kernel of this version takes are refused.
CLI::Option* add_data_type(CLI::App& app, std::string& value, const std::string& note,
                           const std::string& names = "--data-type");
// A flag that is known but can only be left at its neutral value in this version.
void add_neutral_flag(CLI::App& app, const std::string& names, double neutral);
// A flag that is known and not there yet at all; `instead` says what to do.
void refuse_flag(CLI::App& app, const std::string& names, const std::string& instead);

// "must be at least N, not M"
CLI::Validator at_least(int64_t minimum);

// "must be a whole number from 0 to 2^64 - 1, not '-1'": CLI11 would take -1 for 2^64 - 1
CLI::Validator whole_number();

}  // namespace bolide::apps
