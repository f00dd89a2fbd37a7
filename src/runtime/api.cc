#include <chrono>

#include "models/registry.h"
#include "ops/roof.h"
#include "runtime/check.h"
#include "runtime/engine.h"

// What of the public API is not the running engine itself.
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

std::string_view name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kEndId:
      return "end_id";
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

std::unique_ptr<Engine> Engine::create(const EngineConfig& config) {
  check_config(config);
  const auto start = std::chrono::steady_clock::now();
  EngineParts parts;
  parts.tokenizer = load_tokenizer(config);  // first: it is quick, and its faults should not wait for weights
  Arena arena;
  const Context context{
      .device = parse_device(config.device), .threads = resolve_threads(config.threads), .arena = &arena};
  ModelOptions options;
  options.path = config.model;
  options.dummy = config.load_format == LoadFormat::kDummy;
  if (!config.data_type.empty()) options.data_type = parse_data_type(config.data_type);
  LoadedModel loaded = load_model(options, context);
  parts.model = std::move(loaded.model);
  parts.data_type = loaded.data_type;
  parts.weight_bytes = loaded.weight_bytes;
  parts.random_weights = options.dummy;
  parts.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::make_unique<LocalEngine>(std::move(parts), config);
}

std::vector<Result> Engine::generate(std::vector<Request> requests) {
  const std::vector<uint64_t> ids = submit_all(std::move(requests));
  std::vector<Result> results;
  std::exception_ptr fault;
  for (uint64_t id : ids) {
    // After a fault nobody will see the other results: end them too, and leave nothing behind.
    if (fault) cancel(id);
    try {
      results.push_back(wait(id));
    } catch (...) {
      if (!fault) fault = std::current_exception();
    }
  }
  if (fault) std::rethrow_exception(fault);
  return results;
}

Roof measure_roof(const std::string& device, const std::string& data_type, int threads) {
  Arena arena;
  const Context context{.device = parse_device(device), .threads = resolve_threads(threads), .arena = &arena};
  const DType dtype = parse_data_type(data_type);
  return {.bytes_per_second = measure_read_bandwidth(context), .flops = measure_peak_flops(context, dtype)};
}

}  // namespace bolide
