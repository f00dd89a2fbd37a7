#include "bolide/tune.h"

#include <algorithm>
#include <set>

#include "base/rng.h"
#include "engine/resolve.h"
#include "tensor/device.h"
#include "worker/gemm_config.h"

namespace bolide {
namespace {

constexpr int32_t kNewTokens = 3;  // a step of prompts, and two of decoding

struct Run {
  int64_t batch = 0, length = 0;
};

std::vector<Run> runs_of(const TuneOptions& options) {
  std::vector<Run> runs;
  for (int64_t batch : options.batch_sizes)
    for (int64_t length : options.input_lens) runs.push_back({batch, length});
  if (runs.empty()) fail(ErrorCode::kUsage, "no batch size or no length to tune for: give one of each");
  for (const Run& run : runs) {
    if (run.batch < 1 || run.length < 1)
      fail(ErrorCode::kUsage, "batch size {} and length {} must be at least 1", run.batch, run.length);
  }
  const int64_t most = default_chunk_tokens(Device::kCuda), asked = options.engine.max_chunk_tokens;
  runs.push_back({1, asked > 0 ? std::min(asked, most) : most});
  return runs;
}

EngineConfig engine_config(const TuneOptions& options, const std::vector<Run>& runs) {
  EngineConfig config = options.engine;
  if (config.device == "cpu") {
    fail(ErrorCode::kUsage,
         "tune needs --device cuda: the CPU backend has no GEMM candidates to choose from, run the model "
         "without it");
  }
  resolve(config);
  if (config.deterministic_batching) {
    fail(ErrorCode::kUsage,
         "with --deterministic no product goes to cuBLASLt: there is nothing to tune, leave it off");
  }
  if (!config.gemm_config.empty() && config.gemm_config != "none")
    fail(ErrorCode::kUsage, "tune follows no gemm_config: leave it empty");
  config.gemm_config = "none";
  config.max_batch_size = 1;
  int64_t tokens = 0;
  for (const Run& run : runs) {
    const int64_t pages = (run.length + kNewTokens + config.page_size - 1) / config.page_size;
    config.max_batch_size = std::max(config.max_batch_size, run.batch);
    tokens = std::max(tokens, run.batch * pages * config.page_size);
  }
  if (config.max_kv_tokens == 0) config.max_kv_tokens = tokens;
  return config;
}

void generate(Engine& engine, const Run& run) {
  const auto vocab = static_cast<uint32_t>(engine.info().vocab_size);
  std::vector<Request> requests(static_cast<size_t>(run.batch));
  for (size_t r = 0; r < requests.size(); ++r) {
    for (int64_t i = 0; i < run.length; ++i) {
      const auto words = philox4x32(0, {static_cast<uint32_t>(i), static_cast<uint32_t>(r), 0, 0});
      requests[r].input_ids.push_back(static_cast<int32_t>(words[0] % vocab));
    }
    requests[r].max_new_tokens = kNewTokens;
    requests[r].sampling.top_k = 1;
    requests[r].end_ids.emplace();
  }
  engine.generate(std::move(requests));
}

std::string epilogue_of(const CublasLtGemm& p) {
  std::string text;
  const auto add = [&](bool there, const char* word) {
    if (there) text += (text.empty() ? "" : ", ") + std::string(word);
  };
  add(p.bias, "bias");
  add(p.gelu, "GELU");
  add(p.accumulate, "added");
  add(p.y_dtype != p.in_dtype && !p.accumulate, "fp32");
  return text;
}

struct Met {
  Run run;
  CublasLtGemm product;
};

// What the library is asked for when the model runs at these sizes.
std::vector<Met> meet_gemms(const Context& context, Engine& engine, const std::vector<Run>& runs) {
  std::vector<Met> met;
  std::set<CublasLtGemm> known;
  forget_gemms(context);
  for (const Run& run : runs) {
    generate(engine, run);
    for (const CublasLtGemm& product : gemms_met(context))
      if (known.insert(product).second) met.push_back({run, product});
  }
  if (met.empty()) {
    fail(ErrorCode::kUsage,
         "no product of this model goes to cuBLASLt at these sizes: give a larger batch size or length");
  }
  if (met.size() > GemmConfig::kMaxRows) {
    fail(ErrorCode::kUsage,
         "{} products go to cuBLASLt at these sizes, and a gemm_config.in holds {}: give fewer of them",
         met.size(), GemmConfig::kMaxRows);
  }
  return met;
}

}  // namespace

TuneReport tune(const TuneOptions& options) {
  const std::vector<Run> runs = runs_of(options);
  const EngineConfig config = engine_config(options, runs);
  const int device = config.devices.empty() ? 0 : config.devices.front();
  GemmConfig file;
  std::vector<Met> met;
  {
    const std::unique_ptr<Engine> engine = Engine::create(config);  // makes its GPU this thread's, too
    const ModelInfo& info = engine->info();
    file = gemm_config_for(info, parse_data_type(info.data_type));
    met = meet_gemms({.device = Device::kCuda, .device_index = device}, *engine, runs);
  }
  // The model's memory is free again: the products' own matrices take its place.
  const Stream stream(Device::kCuda);
  const Context context{.device = Device::kCuda, .device_index = device, .stream = stream.get()};
  TuneReport report{.gpu = file.gpu, .library = file.library, .gemms = {}, .gemm_config = {}};
  const auto total = static_cast<int64_t>(met.size());
  for (const auto& [run, product] : met) {
    if (options.on_progress) options.on_progress(static_cast<int64_t>(report.gemms.size()), total);
    const GemmTuning tuned = tune_gemm(context, product, options.quick);
    report.gemms.push_back({.batch = run.batch,
                            .input_len = run.length,
                            .tokens = product.tokens,
                            .out = product.out,
                            .in = product.in,
                            .epilogue = epilogue_of(product),
                            .candidates = tuned.candidates,
                            .default_seconds = tuned.default_seconds,
                            .best_seconds = tuned.best_seconds});
    if (tuned.best) {
      file.rows.push_back({.batch = run.batch,
                           .length = run.length,
                           .product = product,
                           .algorithm = *tuned.best,
                           .seconds = tuned.best_seconds});
    }
  }
  if (options.on_progress) options.on_progress(total, total);
  if (file.rows.empty()) {
    fail(ErrorCode::kUnsupported,
         "none of {}'s algorithms for these products can be made again from its attributes: there is nothing "
         "to write",
         file.library);
  }
  report.gemm_config = format_gemm_config(file);
  return report;
}

}  // namespace bolide
