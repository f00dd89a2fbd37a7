#include "apps/options.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

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

// "must be above 0 and at most 1, not '0'"
CLI::Validator share() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool number = error == std::errc() && end == text.data() + text.size();
        if (number && value > 0 && value <= 1) return {};
        return fmt::format("must be above 0 and at most 1, not '{}'", text);
      },
      "", "share");
}

// Shown under its own heading in --help, so that the flags that do something come first.
constexpr const char* kLaterGroup = "Known, but not in this version";

}  // namespace

std::span<const NeutralParameter> neutral_parameters() { return kNeutralParameters; }

std::string describe(const ModelInfo& info) {
  const std::string tuned =
      info.tuned_products > 0 ? fmt::format(", {} products as tuned", info.tuned_products) : "";
  const std::string ranks = info.transport.empty()
                                ? ""
                                : fmt::format(", {} tensor x {} pipeline ranks over {}",
                                              info.tensor_para_size, info.pipeline_para_size, info.transport);
  return fmt::format("{}: {} of {} weights{}, {} ({}){}{}, loaded in {:.2f} s", info.architecture,
                     human_bytes(static_cast<double>(info.weight_bytes)), info.data_type,
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
  return app.add_option(names, value, "fp32, fp16 or bf16: " + note)
      ->type_name("TYPE")
      ->check(CLI::Validator(
          [](const std::string& type) -> std::string {
            if (type == "fp32" || type == "fp16" || type == "bf16") return {};
            return fmt::format("'{}' is not supported by version {}, use fp32, fp16 or bf16", type, kVersion);
          },
          "", "data type"));
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

CLI::Validator at_least(int64_t minimum) {
  return CLI::Validator(
      [minimum](const std::string& text) -> std::string {
        int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size()) {
          return fmt::format("must be a whole number, not '{}'", text);
        }
        return value < minimum ? fmt::format("must be at least {}, not {}", minimum, value) : std::string();
      },
      "", "at least");
}

CLI::Validator whole_number() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        uint64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error == std::errc() && end == text.data() + text.size()) return {};
        return fmt::format("must be a whole number from 0 to 2^64 - 1, not '{}'", text);
      },
      "", "whole number");
}

void add_model_flags(CLI::App& app, ModelFlags& flags) {
  app.add_option("--model", flags.model, "model folder: Hugging Face's, or FasterTransformer's N-gpu")
      ->type_name("DIR")
      ->required();
  app.add_option("--tokenizer-path", flags.tokenizer_path, "tokenizer folder (default: the model's)")
      ->type_name("DIR");
  app.add_option("--load-format", flags.load_format,
                 "auto, or dummy: random weights at the shape of --model's config.json")
      ->type_name("auto|dummy")
      ->check(CLI::IsMember({"auto", "dummy"}).description(""));
  app.add_option("--device", flags.device, "where to run (default cpu)")->type_name("cpu|cuda");
  add_data_type(app, flags.data_type, "of weights and cache (default: as in the checkpoint)");
  app.add_option("--threads", flags.threads, "CPU threads (default: every core this process may use)")
      ->type_name("K")
      ->check(at_least(1));
  app.add_option("--max-kv-tokens", flags.max_kv_tokens,
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
  app.add_option(
         "--tensor-para-size", flags.tensor_para_size,
         "ranks that share each layer's weights: threads of this process, or the processes that mpirun, "
         "torchrun or srun starts (default 1)")
      ->type_name("N")
      ->check(at_least(1));
  app.add_option("--pipeline-para-size", flags.pipeline_para_size,
                 "stages of consecutive layers that the model is cut into; times --tensor-para-size ranks "
                 "(default 1)")
      ->type_name("M")
      ->check(at_least(1));
  app.add_option(
         "--micro-batch-tokens", flags.micro_batch_tokens,
         "prompt tokens that go through the stages together; runs then repeat to the bit (default: as "
         "measured to be fastest)")
      ->type_name("N")
      ->check(at_least(1));
  app.add_option("--transport", flags.transport,
                 "by what processes talk: mpi or gloo (default: by how they were started)")
      ->type_name("auto|mpi|gloo");
  app.add_option("--comm-timeout", flags.comm_timeout,
                 "seconds after which a rank that does not answer counts as dead (default 60)")
      ->type_name("S");
  app.add_option("--all-reduce", flags.all_reduce,
                 "on GPUs: how ranks talk, one_shot (NCCL, and Bolide's own kernels where the GPUs can), "
                 "nccl, or host (by way of host memory)")
      ->type_name("one_shot|nccl|host")
      ->check(CLI::IsMember({"one_shot", "nccl", "host"}).description(""));
  add_quiet(app, flags.quiet);
  add_log_level(app);
}

EngineConfig engine_config(const ModelFlags& flags, int64_t max_batch_size) {
  EngineConfig config;
  config.model = flags.model;
  config.tokenizer = flags.tokenizer_path;
  config.tokenizer_options.cancelled = [] { return interrupted() != 0; };
  config.device = flags.device;
  config.data_type = flags.data_type;
  config.load_format = flags.load_format == "dummy" ? LoadFormat::kDummy : LoadFormat::kAuto;
  config.threads = flags.threads;
  config.max_batch_size = max_batch_size;
  config.max_kv_tokens = flags.max_kv_tokens;
  config.max_chunk_tokens = flags.max_chunk_tokens;
  const bool gpu_flag = !flags.devices.empty() || flags.kv_cache_fraction || flags.deterministic ||
                        flags.no_cuda_graphs || !flags.gemm_config.empty() || !flags.all_reduce.empty();
  if (gpu_flag && flags.device != "cuda") {
    throw Error(ErrorCode::kUsage,
                "--devices, --kv-cache-fraction, --deterministic, --no-cuda-graphs, --gemm-config and "
                "--all-reduce are "
                "for GPUs: add --device cuda, or leave them out");
  }
  config.devices = flags.devices;
  if (flags.kv_cache_fraction) config.kv_cache_fraction = *flags.kv_cache_fraction;
  config.deterministic_batching = flags.deterministic;
  config.cuda_graphs = !flags.no_cuda_graphs;
  config.gemm_config = flags.gemm_config;
  config.tensor_para_size = flags.tensor_para_size;
  config.pipeline_para_size = flags.pipeline_para_size;
  config.transport = flags.transport;
  config.comm_timeout = flags.comm_timeout;
  config.micro_batch_tokens = flags.micro_batch_tokens;
  if (!flags.all_reduce.empty()) config.all_reduce = flags.all_reduce;
  return config;
}

void fit_chunk(const ModelFlags& flags, int64_t tokens, EngineConfig& config) {
  constexpr int64_t kLeast = 512, kMost = 8192, kMostOnGpu = 16384;
  if (flags.max_chunk_tokens > 0) return;
  config.max_chunk_tokens = std::clamp(tokens, kLeast, flags.device == "cuda" ? kMostOnGpu : kMost);
}

}  // namespace bolide::apps
