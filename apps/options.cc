#include "apps/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "apps/arguments.h"
#include "apps/interrupt.h"
#include "apps/terminal.h"
#include "bolide/error.h"
#include "bolide/log.h"
#include "bolide/version.h"

namespace bolide::apps {
namespace {

constexpr std::array<NeutralParameter, 6> kNeutralParameters{{
    {"beam-width", 1},
    {"repetition-penalty", 1},
    {"presence-penalty", 0},
    {"len-penalty", 0},
    {"beam-search-diversity-rate", 0},
    {"min-length", 0},
}};

// FasterTransformer's words and those of PyTorch and vLLM; nothing for others.
std::optional<std::string_view> data_type_of(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kWords{{{"fp32", "fp32"},
                                                                                 {"float32", "fp32"},
                                                                                 {"float", "fp32"},
                                                                                 {"fp16", "fp16"},
                                                                                 {"float16", "fp16"},
                                                                                 {"half", "fp16"},
                                                                                 {"bf16", "bf16"},
                                                                                 {"bfloat16", "bf16"},
                                                                                 {"auto", ""}}};
  for (const auto& [known, meant] : kWords)
    if (word == known) return meant;
  return std::nullopt;
}

// Decimal digits, a point and an exponent, and no more than a double holds.
std::optional<double> decimal(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || read != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

// "must be above 0 and at most 1, not '0'"
CLI::Validator share() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        const std::optional<double> value = decimal(text);
        if (value && *value > 0 && *value <= 1) return {};
        return fmt::format("must be above 0 and at most 1, not '{}'", printable(text));
      },
      "", "share");
}

// Shown under its own heading in --help, so that the flags that do something come first.
constexpr const char* kLaterGroup = "Known, but not in this version";

}  // namespace

std::span<const NeutralParameter> neutral_parameters() { return kNeutralParameters; }

std::string describe(const ModelInfo& info) {
  const std::string tuned =
      info.tuned_gemms > 0 ? fmt::format(", {} products as tuned", info.tuned_gemms) : "";
  const std::string ranks = info.transport.empty()
                                ? ""
                                : fmt::format(", {} tensor x {} pipeline ranks over {}",
                                              info.tensor_para_size, info.pipeline_para_size, info.transport);
  const std::string type = info.weight_scheme == default_weight_scheme()
                               ? info.data_type
                               : fmt::format("{} ({})", info.weight_scheme, info.data_type);
  return fmt::format("{}: {} of {} weights{}, {} ({}){}{}, loaded in {:.2f} s", info.architecture,
                     human_bytes(static_cast<double>(info.weight_bytes)), type,
                     info.random_weights ? " (random)" : "", info.device, info.instruction_set, ranks, tuned,
                     info.load_seconds);
}

void add_quiet(CLI::App& app, bool& quiet) {
  app.add_flag("-q,--quiet", quiet, "no progress bars, and no line about speed at the end");
}

void add_log_level(CLI::App& app) {
  app.add_option_function<std::string>(
         "--log-level", [](const std::string& level) { set_log_level(level); },
         "trace, debug, info, warning, error or off (default: $BOLIDE_LOG_LEVEL, then warning)")
      ->type_name("LEVEL");
}

CLI::Option* add_data_type(CLI::App& app, std::string& value, const std::string& note,
                           const std::string& names) {
  const bool has_auto = value.empty();
  return app
      .add_option_function<std::string>(
          names, [&value](const std::string& type) { value = *data_type_of(type); },
          "fp32, fp16 or bf16 (or float32, half, bfloat16, ...): " + note)
      ->type_name("TYPE")
      ->check(CLI::Validator(
          [has_auto](const std::string& type) -> std::string {
            const std::optional<std::string_view> known = data_type_of(type);
            if (known && (has_auto || !known->empty())) return {};
            return fmt::format("'{}' is not supported by version {}, use fp32, fp16 or bf16", printable(type),
                               kVersion);
          },
          "", "data type"));
}

std::string default_weight_scheme() { return std::string(weight_schemes().front().name); }

void add_weight_scheme(CLI::App& app, std::string& value) {
  std::vector<std::string> names, lines;
  for (const WeightSchemeInfo& scheme : weight_schemes()) {
    names.emplace_back(scheme.name);
    lines.push_back(fmt::format("{}: {}", scheme.name, scheme.summary));
  }
  app.add_option(
         "--weight-scheme", value,
         fmt::format("how weights are stored, {} (default {})", fmt::join(lines, "; "), names.front()))
      ->type_name(fmt::format("{}", fmt::join(names, "|")))
      ->check(one_of(names));
}

void add_neutral_flag(CLI::App& app, const std::string& names, double neutral) {
  app.add_option_function<double>(
         names,
         [names, neutral](double value) {
           if (value == neutral) return;
           throw Error(ErrorCode::kUsage, fmt::format("{} {} is not supported by version {}, leave it at {}",
                                                      names, value, kVersion, neutral));
         },
         fmt::format("only {}", neutral))
      ->type_name("X")
      ->check(fraction())
      ->group(kLaterGroup);
}

void refuse_flag(CLI::App& app, const std::string& names, const std::string& instead) {
  app.add_option_function<std::string>(
         names,
         [names, instead](const std::string&) {
           throw Error(ErrorCode::kUsage,
                       fmt::format("{} is not supported by version {}, {}", names, kVersion, instead));
         },
         "refused: " + instead)
      ->expected(0, 1)
      ->type_name("X")
      ->group(kLaterGroup);
}

CLI::Validator one_of(std::vector<std::string> words) {
  return CLI::Validator(
      [words = std::move(words)](const std::string& text) -> std::string {
        if (std::find(words.begin(), words.end(), text) != words.end()) return {};
        const std::string all_but_last = fmt::format("{}", fmt::join(words.begin(), words.end() - 1, ", "));
        return fmt::format("must be {} or {}, not '{}'", all_but_last, words.back(), printable(text));
      },
      "", "word");
}

CLI::Validator at_least(int64_t minimum, int64_t maximum) {
  return CLI::Validator(
      [minimum, maximum](const std::string& text) -> std::string {
        int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool number = end == text.data() + text.size() && !text.empty();
        if (number && error == std::errc::result_out_of_range)
          return fmt::format("must be from {} to {}, not {}", minimum, maximum, printable(text));
        if (!number || error != std::errc())
          return fmt::format("must be a whole number, not '{}'", printable(text));
        if (value < minimum) return fmt::format("must be at least {}, not {}", minimum, value);
        return value > maximum ? fmt::format("must be at most {}, not {}", maximum, value) : std::string();
      },
      "", "at least");
}

CLI::Validator whole_number() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        uint64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error == std::errc() && end == text.data() + text.size()) return {};
        return fmt::format("must be a whole number from 0 to 2^64 - 1, not '{}'", printable(text));
      },
      "", "whole number");
}

CLI::Validator fraction(double minimum, double maximum) {
  return CLI::Validator(
      [minimum, maximum](const std::string& text) -> std::string {
        const std::optional<double> value = decimal(text);
        if (!value) return fmt::format("must be a number, not '{}'", printable(text));
        if (*value < minimum) return fmt::format("must be at least {}, not {}", minimum, *value);
        return *value > maximum ? fmt::format("must be at most {}, not {}", maximum, *value) : std::string();
      },
      "", "number");
}

void add_model_folder(CLI::App& app, std::string& value) {
  app.add_option("-m,--model,--checkpoint-path", value,
                 "model folder: Hugging Face's, or FasterTransformer's N-gpu")
      ->type_name("DIR")
      ->required();
}

CLI::Option* add_tensor_ranks(CLI::App& app, int& value, const std::string& description) {
  return app.add_option("--tensor-para-size,--tensor-parallel-size", value, description)
      ->type_name("N")
      ->check(at_least(1));
}

CLI::Option* add_pipeline_stages(CLI::App& app, int& value, const std::string& description) {
  return app.add_option("--pipeline-para-size,--pipeline-parallel-size", value, description)
      ->type_name("M")
      ->check(at_least(1));
}

void add_model_flags(CLI::App& app, ModelFlags& flags) {
  add_model_folder(app, flags.model);
  app.add_option("--tokenizer-path,--tokenizer", flags.tokenizer_path,
                 "tokenizer folder, or its tokenizer.json (default: the model's)")
      ->type_name("DIR");
  app.add_option("--load-format", flags.load_format,
                 "auto, or dummy: random weights at the shape of --model's config.json")
      ->type_name("auto|dummy")
      ->check(one_of({"auto", "dummy"}));
  app.add_option("--device", flags.device, "where to run (default cpu)")
      ->type_name("cpu|cuda")
      ->check(one_of({"cpu", "cuda"}));
  add_data_type(app, flags.data_type, "of weights and cache (default: as in the checkpoint)");
  add_weight_scheme(app, flags.weight_scheme);
  app.add_option("-t,--threads", flags.threads, "CPU threads (default: every core this process may use)")
      ->type_name("K")
      ->check(at_least(1));
  app.add_option("-c,--max-kv-tokens,--ctx-size", flags.max_kv_tokens,
                 "cache size in tokens (default: what the batch needs and memory allows)")
      ->type_name("N")
      ->check(at_least(1));
  app.add_option("--max-chunk-tokens", flags.max_chunk_tokens,
                 "prompt tokens taken in per step; longer prompts go in chunks (default 512, on a GPU 2048)")
      ->type_name("N")
      ->check(at_least(1));
  app.add_option(
         "--devices", flags.devices,
         "which GPUs, as CUDA_VISIBLE_DEVICES counts them: one for each rank of this host (default: from 0)")
      ->type_name("N[,N...]")
      ->delimiter(',')
      ->check(at_least(0));
  app.add_option("--kv-cache-fraction", flags.kv_cache_fraction,
                 "share of the GPU memory left after loading that the cache takes (default 0.9)")
      ->type_name("X")
      ->check(share());
  app.add_flag(
      "--deterministic", flags.deterministic,
      "on a GPU: the same ids, bit for bit, in any batch and with prompts cut anywhere; slower prefill");
  app.add_flag("--no-cuda-graphs", flags.no_cuda_graphs,
               "on a GPU: launch each kernel of a decode step by itself");
  app.add_option("--gemm-config", flags.gemm_config,
                 "on a GPU: the file of 'bolide tune' that says how matrix products run, or none (default: "
                 "gemm_config.in, where that is there)")
      ->type_name("FILE");
  add_tensor_ranks(app, flags.tensor_para_size,
                   "-tp N: ranks that share each layer's weights, threads of this process, or the processes "
                   "that mpirun, torchrun or srun starts (default 1)");
  add_pipeline_stages(app, flags.pipeline_para_size,
                      "-pp M: stages of consecutive layers that the model is cut into; times "
                      "--tensor-para-size ranks (default 1)");
  app.add_option(
         "--micro-batch-tokens", flags.micro_batch_tokens,
         "prompt tokens that go through the stages together; runs then repeat to the bit (default: as "
         "measured to be fastest)")
      ->type_name("N")
      ->check(at_least(1));
  app.add_option("--transport", flags.transport,
                 "by what processes talk: mpi or gloo (default: by how they were started)")
      ->type_name("auto|mpi|gloo")
      ->check(one_of({"auto", "mpi", "gloo"}));
  app.add_option("--comm-timeout", flags.comm_timeout,
                 "seconds after which a rank that does not answer counts as dead (default 60)")
      ->type_name("S")
      ->check(fraction(0));
  app.add_option("--all-reduce", flags.all_reduce,
                 "on GPUs: how ranks talk, one_shot (NCCL, and Bolide's own kernels where the GPUs can), "
                 "nccl, or host (by way of host memory)")
      ->type_name("one_shot|nccl|host")
      ->check(one_of({"one_shot", "nccl", "host"}));
  add_quiet(app, flags.quiet);
  add_log_level(app);
}

Inputs inputs_of(const ModelFlags& flags) {
  Inputs inputs{flags.model};
  add_tokenizer_input(flags.tokenizer_path, inputs);
  if (!flags.gemm_config.empty() && flags.gemm_config != "none") inputs.push_back(flags.gemm_config);
  return inputs;
}

std::string in_flags(const Error& error) {
  struct Name {
    std::string_view field, flag;
    bool in_files;  // the name stands in FasterTransformer's config.ini, too, or is a word of English
  };
  constexpr Name kNames[] = {{"max_batch_size", "--batch-size", false},
                             {"max_kv_tokens", "--max-kv-tokens", false},
                             {"max_chunk_tokens", "--max-chunk-tokens", false},
                             {"micro_batch_tokens", "--micro-batch-tokens", false},
                             {"kv_cache_fraction", "--kv-cache-fraction", false},
                             {"comm_timeout", "--comm-timeout", false},
                             {"deterministic_batching", "--deterministic", false},
                             {"gemm_config", "--gemm-config", false},
                             {"all_reduce", "--all-reduce", false},
                             {"tensor_para_size", "--tensor-para-size", true},
                             {"pipeline_para_size", "--pipeline-para-size", true},
                             {"threads", "--threads", true},
                             {"devices", "--devices", true},
                             {"transport", "--transport", true}};
  std::string text = error.what();
  const auto replace = [&text](const Name& name, size_t at) {
    text.replace(at, name.field.size(), name.flag);
    return at + name.flag.size();
  };
  for (const Name& name : kNames) {
    if (name.in_files) {  // at the beginning, and of wrong usage alone
      if (error.code() == ErrorCode::kUsage && text.starts_with(std::string(name.field) + " "))
        replace(name, 0);
      continue;
    }
    for (size_t at = text.find(name.field); at != std::string::npos; at = text.find(name.field, at)) {
      const size_t end = at + name.field.size();
      const bool word =
          (at == 0 || text[at - 1] == ' ') &&
          (end == text.size() || std::string_view(" ,:;").find(text[end]) != std::string_view::npos);
      at = word ? replace(name, at) : end;
    }
  }
  return text;
}

void refuse_idle(std::initializer_list<GivenFlag> flags, const char* why) {
  for (const GivenFlag& flag : flags)
    if (flag.given) throw Error(ErrorCode::kUsage, fmt::format("{} {}", flag.name, why));
}

EngineConfig engine_config(const ModelFlags& flags, int64_t max_batch_size) {
  EngineConfig config;
  config.model = flags.model;
  config.tokenizer = flags.tokenizer_path;
  config.tokenizer_options.cancelled = [] { return interrupted() != 0; };
  config.device = flags.device;
  config.data_type = flags.data_type;
  config.weight_scheme = flags.weight_scheme;
  config.load_format = flags.load_format == "dummy" ? LoadFormat::kDummy : LoadFormat::kAuto;
  config.threads = flags.threads;
  config.max_batch_size = max_batch_size;
  config.max_kv_tokens = flags.max_kv_tokens;
  config.max_chunk_tokens = flags.max_chunk_tokens;
  if (flags.device != "cuda") {
    refuse_idle({{!flags.devices.empty(), "--devices"},
                 {flags.kv_cache_fraction.has_value(), "--kv-cache-fraction"},
                 {flags.deterministic, "--deterministic"},
                 {flags.no_cuda_graphs, "--no-cuda-graphs"},
                 {!flags.gemm_config.empty(), "--gemm-config"},
                 {!flags.all_reduce.empty(), "--all-reduce"}},
                "is for GPUs: add --device cuda, or leave it out");
  }
  if (flags.tensor_para_size * int64_t{flags.pipeline_para_size} == 1) {
    refuse_idle(
        {{flags.comm_timeout.has_value(), "--comm-timeout"}, {!flags.all_reduce.empty(), "--all-reduce"}},
        "is for several ranks: add --tensor-para-size or --pipeline-para-size, or leave it out");
  }
  if (flags.pipeline_para_size == 1) {
    refuse_idle({{flags.micro_batch_tokens > 0, "--micro-batch-tokens"}},
                "is for a pipeline's stages: add --pipeline-para-size, or leave it out");
  }
  config.devices = flags.devices;
  if (flags.kv_cache_fraction) config.kv_cache_fraction = *flags.kv_cache_fraction;
  config.deterministic_batching = flags.deterministic;
  config.cuda_graphs = !flags.no_cuda_graphs;
  config.gemm_config = flags.gemm_config;
  config.tensor_para_size = flags.tensor_para_size;
  config.pipeline_para_size = flags.pipeline_para_size;
  config.transport = flags.transport;
  if (flags.comm_timeout) config.comm_timeout = *flags.comm_timeout;
  config.micro_batch_tokens = flags.micro_batch_tokens;
  if (!flags.all_reduce.empty()) config.all_reduce = flags.all_reduce;
  return config;
}

void fit_chunk(const ModelFlags& flags, int64_t tokens, EngineConfig& config) {
  constexpr int64_t kLeast = 512, kMax = 8192, kMaxOnGpu = 16384;
  if (flags.max_chunk_tokens > 0) return;
  config.max_chunk_tokens = std::clamp(tokens, kLeast, flags.device == "cuda" ? kMaxOnGpu : kMax);
}

}  // namespace bolide::apps
