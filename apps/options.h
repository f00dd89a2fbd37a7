#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/inputs.h"
#include "bolide/engine.h"
#include "bolide/error.h"

namespace bolide::apps {

// A generation parameter of FasterTransformer that this version does not have. Its neutral value changes
// nothing and is accepted; any other value is refused, as a flag and as a field of a request alike.
struct NeutralParameter {
  const char* name;  ///< as the flag, without the dashes
  double neutral;
};
std::span<const NeutralParameter> neutral_parameters();

// The name of the scheme that stores weights as they are.
std::string default_weight_scheme();

// The flags that every command which loads a model has.
struct ModelFlags {
  std::string model, tokenizer_path, load_format = "auto", device = "cpu", data_type;
  std::string weight_scheme = default_weight_scheme();
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
  std::optional<double> comm_timeout;
  int64_t micro_batch_tokens = 0;
};
void add_model_flags(CLI::App& app, ModelFlags& flags);
// kUsage for a flag that would do nothing.
EngineConfig engine_config(const ModelFlags& flags, int64_t max_batch_size);
// Unless the flags say otherwise: `tokens` of prompts in one step, as long as the activations stay small
// beside the weights.
void fit_chunk(const ModelFlags& flags, int64_t tokens, EngineConfig& config);

// What loading a model reads.
Inputs inputs_of(const ModelFlags& flags);

struct GivenFlag {
  bool given;
  const char* name;
};
// Of flags that do nothing in a run: kUsage for the first that is given, "--devices is for GPUs: ...".
void refuse_idle(std::initializer_list<GivenFlag> flags, const char* why);

// A message of the library that names a setting: by the flag that the user knows. "raise max_kv_tokens"
// becomes "raise --max-kv-tokens".
std::string in_flags(const Error& error);

// "bloom, 559,214,592 bytes of fp32 weights, cpu (AVX-512), loaded in 0.4 s"
std::string describe(const ModelInfo& info);

// --quiet: no progress bars, no closing line about speed.
void add_quiet(CLI::App& app, bool& quiet);
// --log-level, for commands without the model flags too.
void add_log_level(CLI::App& app);
// --data-type; `note` says what it applies to. Types that no kernel of this version takes are refused; "auto"
// is the value's default, where that is empty: as in the checkpoint.
CLI::Option* add_data_type(CLI::App& app, std::string& value, const std::string& note,
                           const std::string& names = "--data-type,--dtype");
// --weight-scheme.
void add_weight_scheme(CLI::App& app, std::string& value);
// --model, -m; --tensor-para-size, -tp; --pipeline-para-size, -pp: with the names that other engines have for
// them.
void add_model_folder(CLI::App& app, std::string& value);
CLI::Option* add_tensor_ranks(CLI::App& app, int& value, const std::string& description);
CLI::Option* add_pipeline_stages(CLI::App& app, int& value, const std::string& description);
// A flag that is known but can only be left at its neutral value in this version.
void add_neutral_flag(CLI::App& app, const std::string& names, double neutral);
// A flag that is known and not there yet at all; `instead` says what to do.
void refuse_flag(CLI::App& app, const std::string& names, const std::string& instead);

// "must be cpu or cuda, not 'tpu'"
CLI::Validator one_of(std::vector<std::string> words);

// Every flag with a number has one of these checks: CLI11 alone takes '' for 0, ' 3' for 3, 0x1p3 for 8, nan,
// and -1 for 2^64 - 1.
// "must be at least N, not M"; `maximum` is what the flag's variable holds, or less.
CLI::Validator at_least(int64_t minimum, int64_t maximum = std::numeric_limits<int32_t>::max());
// From 0 to 2^64 - 1.
CLI::Validator whole_number();
// A finite decimal fraction from `minimum` to `maximum`.
CLI::Validator fraction(double minimum = std::numeric_limits<double>::lowest(),
                        double maximum = std::numeric_limits<double>::max());

}  // namespace bolide::apps
