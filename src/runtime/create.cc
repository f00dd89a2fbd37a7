#include <chrono>

#include "base/parallel.h"
#include "models/registry.h"
#include "runtime/check.h"
#include "runtime/engine.h"
#include "runtime/gemm_config.h"

// From files to an engine.
namespace bolide {
namespace {
namespace fs = std::filesystem;

// The tokenizer of the folder that the user named, or the model's own if it has one.
std::unique_ptr<Tokenizer> load_tokenizer(const EngineConfig& config) {
  if (!config.tokenizer.empty()) return Tokenizer::load(config.tokenizer);
  if (!fs::is_directory(config.model)) return nullptr;
  try {
    return Tokenizer::load(config.model);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return nullptr;
  }
}

}  // namespace

std::unique_ptr<Engine> Engine::create(const EngineConfig& config) {
  check_config(config);
  const auto start = std::chrono::steady_clock::now();
  const TeamScope team;
  EngineParts parts;
  parts.tokenizer = load_tokenizer(config);  // first: it is quick, and its faults should not wait for weights
  Arena arena;
  Context context{.device = parse_device(config.device),
                  .device_index = config.device_index,
                  .threads = resolve_threads(config.threads),
                  .arena = &arena};
  if (context.device == Device::kCuda) use_cuda_device(config.device_index);
  const std::optional<GemmConfig> gemms = read_gemm_config(config);
  ModelOptions options;
  options.path = config.model;
  options.dummy = config.load_format == LoadFormat::kDummy;
  if (!config.data_type.empty()) options.data_type = parse_data_type(config.data_type);
  LoadedModel loaded = load_model(options, context);
  if (gemms) {
    follow_gemm_config(context, *gemms, loaded.model->config(), loaded.data_type);
    parts.tuned_products = static_cast<int64_t>(gemms->rows.size());
  }
  parts.run_ahead = context.device == Device::kCuda;
  parts.model = std::move(loaded.model);
  parts.data_type = loaded.data_type;
  parts.weight_bytes = loaded.weight_bytes;
  parts.random_weights = options.dummy;
  parts.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::make_unique<LocalEngine>(std::move(parts), config);
}

}  // namespace bolide
