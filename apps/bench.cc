#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/bench_run.h"
#include "apps/command.h"
#include "apps/follow.h"
#include "apps/load.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/terminal.h"
#include "bolide/engine.h"
#include "bolide/error.h"
#include "bolide/version.h"

namespace bolide::apps {
namespace {

using nlohmann::ordered_json;

struct Flags {
  ModelFlags model;
  std::vector<int64_t> batch_sizes{1};
  int64_t input_len = 128, output_len = 32;
  int repeats = 5;
  std::string json, peer_lines;
};

// What the engine takes for max_kv_tokens: positions and pages are numbers of 32 bits.
constexpr int64_t kMaxTokens = std::numeric_limits<int32_t>::max() / 4;

struct Row {
  int64_t batch = 0;
  double prefill_seconds = 0, decode_seconds = 0, wall_seconds = 0;
};

EngineConfig config_for(const Flags& flags, int64_t batch, int64_t input_len, int64_t output_len) {
  refuse_idle({{!flags.model.tokenizer_path.empty(), "--tokenizer-path"}},
              "does nothing here: bench makes up its ids; leave it out");
  // One place more than the batch: the request that holds the engine until all others are queued.
  EngineConfig config = engine_config(flags.model, batch + 1);
  fit_chunk(flags.model, batch * input_len, config);
  if (config.max_kv_tokens > 0) return config;
  const int64_t pages = (input_len + output_len + config.page_size) / config.page_size;
  if (__builtin_mul_overflow((batch + 1) * config.page_size, pages, &config.max_kv_tokens) ||
      config.max_kv_tokens > kMaxTokens) {
    throw Error(
        ErrorCode::kUsage,
        fmt::format("--batch-size {}, --input-len {} and --output-len {} together need more than the {} "
                    "tokens that a cache can have: lower one of them",
                    batch, input_len, output_len, grouped(kMaxTokens)));
  }
  return config;
}

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

double roof_seconds(const Work& work, const Roof& roof) {
  return std::max(work.bytes / roof.bytes_per_second, work.flops / roof.flops);
}

const char* bound_of(const Work& work, const Roof& roof) {
  return work.bytes / roof.bytes_per_second > work.flops / roof.flops ? "memory" : "arithmetic";
}

double per_second(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

Row measure(BenchRunner& runner, const Flags& flags, int64_t batch, ProgressBar* bar) {
  runner.run(batch, flags.input_len, flags.output_len);  // warms caches and page tables up
  if (bar) bar->advance();
  std::vector<double> prefill, decode, wall;
  for (int repeat = 0; repeat < flags.repeats; ++repeat) {
    const RunTimes times = runner.run(batch, flags.input_len, flags.output_len);
    prefill.push_back(times.prefill_seconds);
    wall.push_back(times.wall_seconds);
    decode.insert(decode.end(), times.decode_seconds.begin(), times.decode_seconds.end());
    if (bar) bar->advance();
  }
  return {batch, median(prefill), median(decode), median(wall)};
}

ordered_json as_json(const Row& row, const Flags& flags, const ModelInfo& info, const Roof& roof,
                     int64_t peak) {
  const Work prefill = prefill_work(info, row.batch, flags.input_len);
  const Work decode = decode_work(info, row.batch, flags.input_len, flags.output_len);
  const auto batch = static_cast<double>(row.batch);
  return {
      {"version", kVersion},
      {"model", flags.model.model},
      {"architecture", info.architecture},
      {"random_weights", info.random_weights},
      {"device", info.device},
      {"processor", processor()},
      {"instruction_set", info.instruction_set},
      {"threads", info.threads},
      {"tensor_para_size", info.tensor_para_size},
      {"pipeline_para_size", info.pipeline_para_size},
      {"transport", info.transport},
      {"data_type", info.data_type},
      {"batch_size", row.batch},
      {"input_len", flags.input_len},
      {"output_len", flags.output_len},
      {"repeats", flags.repeats},
      {"prefill_ms", row.prefill_seconds * 1e3},
      {"prefill_tokens_per_s", per_second(batch * static_cast<double>(flags.input_len), row.prefill_seconds)},
      {"decode_ms_per_step", row.decode_seconds * 1e3},
      {"decode_tokens_per_s", per_second(batch, row.decode_seconds)},
      {"wall_ms", row.wall_seconds * 1e3},
      {"prefill_roof_share", per_second(roof_seconds(prefill, roof), row.prefill_seconds)},
      {"prefill_bound", bound_of(prefill, roof)},
      {"decode_roof_share", per_second(roof_seconds(decode, roof), row.decode_seconds)},
      {"decode_bound", bound_of(decode, roof)},
      {"measured_bandwidth_bytes_per_s", roof.bytes_per_second},
      {"measured_flops_per_s", roof.flops},
      {"weight_bytes", info.weight_bytes},
      {"tuned_gemms", info.tuned_gemms},
      {"kv_bytes_per_token", info.kv_bytes_per_token},
      {"load_seconds", info.load_seconds},
      {"peak_memory_bytes", peak}};
}

std::string as_table(const std::vector<ordered_json>& rows, int fd) {
  Table table({"phase", "batch", "time", "tokens/s", "of the roof", "bound by"});
  for (const ordered_json& row : rows) {
    const auto number = [&row](const char* key) { return row[key].get<double>(); };
    const std::string batch = std::to_string(row["batch_size"].get<int64_t>());
    table.add({fmt::format("prefill of {}", row["input_len"].get<int64_t>()), batch,
               fmt::format("{:.2f} ms", number("prefill_ms")),
               fmt::format("{:.1f}", number("prefill_tokens_per_s")),
               fmt::format("{:.1f} %", 100 * number("prefill_roof_share")), row["prefill_bound"]});
    if (number("decode_ms_per_step") == 0) continue;  // an output of one token has no decode step
    table.add({"decode step", batch, fmt::format("{:.2f} ms", number("decode_ms_per_step")),
               fmt::format("{:.1f}", number("decode_tokens_per_s")),
               fmt::format("{:.1f} %", 100 * number("decode_roof_share")), row["decode_bound"]});
  }
  return table.text(fd);
}

// What the ranks could do that work on a step at the same time. Threads of one process share its cores;
// tensor ranks that are processes, or have a GPU each, bring their own.
Roof roof_of(const ModelInfo& info) {
  const bool together = info.transport == "threads" && info.device == "cpu";
  const int ranks = info.tensor_para_size * info.pipeline_para_size;
  Roof roof = measure_roof(info.device, info.data_type, info.threads * (together ? ranks : 1));
  if (together) return roof;
  roof.bytes_per_second *= info.tensor_para_size;
  roof.flops *= info.tensor_para_size;
  return roof;
}

int bench(const Flags& flags) {
  const int64_t largest = *std::max_element(flags.batch_sizes.begin(), flags.batch_sizes.end());
  const EngineConfig config = config_for(flags, largest, flags.input_len, flags.output_len);
  if (followed(config)) return 0;
  const Inputs inputs = inputs_of(flags.model);
  Output out("-", Output::Mode::kDirect, inputs);
  std::optional<Output> file;  // before minutes of work that it could not hold
  if (!flags.json.empty()) file.emplace(flags.json, Output::Mode::kWhole, inputs);
  if (file && file->is_partial()) file.reset();  // which Ctrl-C would leave behind
  std::vector<Row> measured;
  ModelInfo info;
  {
    const std::unique_ptr<Engine> engine = load_engine(config, flags.model.quiet);
    info = engine->info();
    out.write(describe(info) + "\n");
    out.flush();
    BenchRunner runner(*engine);
    std::optional<ProgressBar> bar;
    if (!flags.model.quiet)
      bar.emplace("bench", static_cast<int64_t>(flags.batch_sizes.size()) * (int64_t{flags.repeats} + 1));
    for (int64_t batch : flags.batch_sizes)
      measured.push_back(measure(runner, flags, batch, bar ? &*bar : nullptr));
  }
  const int64_t peak =
      peak_memory_bytes(flags.model.device);  // before measure_roof, whose own buffers are no part of it
  const Roof roof = roof_of(info);
  std::vector<ordered_json> rows;
  for (const Row& row : measured) rows.push_back(as_json(row, flags, info, roof, peak));
  out.write(as_table(rows, out.fd()));
  out.write(fmt::format("roof: {}/s of memory, {:.1f} GFLOP/s; weights {}, peak memory {}\n",
                        human_bytes(roof.bytes_per_second), roof.flops / 1e9,
                        human_bytes(static_cast<double>(info.weight_bytes)),
                        human_bytes(static_cast<double>(peak))));
  // Of several ranks rank 0 knows its own memory only.
  if (info.step_bytes > 0 && info.transport.empty()) {
    const int64_t predicted = info.weight_bytes + info.cache_bytes + info.step_bytes;
    out.write(fmt::format("memory: weights {}, cache {}, steps {}: {} predicted, {:+.1f} % measured\n",
                          human_bytes(static_cast<double>(info.weight_bytes)),
                          human_bytes(static_cast<double>(info.cache_bytes)),
                          human_bytes(static_cast<double>(info.step_bytes)),
                          human_bytes(static_cast<double>(predicted)),
                          100.0 * (static_cast<double>(peak) / static_cast<double>(predicted) - 1)));
  }
  out.commit();
  if (!flags.json.empty()) {
    if (!file) file.emplace(flags.json, Output::Mode::kWhole, inputs);
    file->write((rows.size() == 1 ? rows[0] : ordered_json(rows)).dump(2) + "\n");
    file->commit();
  }
  return 0;
}

// Lines that cpu_peers-style comparisons read, timed from outside as any engine can be: a decode step is what
// 33 new tokens take beyond 1, over 32; prefill is 128 tokens a sequence in and the next one out.
int peer_lines(const Flags& flags) {
  constexpr int64_t kPrompt = 32, kSteps = 32, kPrefill = 128;
  const EngineConfig config = config_for(flags, 8, kPrefill, kSteps + 1);
  if (followed(config)) return 0;
  Output out("-", Output::Mode::kDirect, inputs_of(flags.model));
  const std::unique_ptr<Engine> engine = load_engine(config, flags.model.quiet);
  BenchRunner runner(*engine);
  const auto emit = [&](const char* metric, int64_t batch, double seconds) {
    const ordered_json line = {{"model", flags.peer_lines},
                               {"engine", "bolide"},
                               {"dtype", engine->info().data_type},
                               {"metric", fmt::format("{}{}", metric, batch)},
                               {"ms", seconds * 1e3}};
    out.write(line.dump() + "\n");
    out.flush();
  };
  const auto wall = [&](int64_t batch, int64_t input_len, int64_t output_len) {
    std::vector<double> seconds;
    runner.run(batch, input_len, output_len);
    for (int repeat = 0; repeat < flags.repeats; ++repeat) {
      seconds.push_back(runner.run(batch, input_len, output_len).wall_seconds);
    }
    return median(seconds);
  };
  for (int64_t batch : {1, 8}) {
    const double one = wall(batch, kPrompt, 1);
    emit("dec", batch, (wall(batch, kPrompt, kSteps + 1) - one) / kSteps);
    emit("pre", batch, wall(batch, kPrefill, 1));
  }
  out.commit();
  return 0;
}

}  // namespace

Action add_bench(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  add_model_flags(app, flags->model);
  CLI::Option* batch =
      app.add_option("--batch-size", flags->batch_sizes, "one or more, as in 1,8 (default 1)")
          ->type_name("B[,B...]")
          ->delimiter(',')
          ->check(at_least(1));
  CLI::Option* input =
      app.add_option("-p,--input-len", flags->input_len, "prompt tokens of a sequence (default 128)")
          ->type_name("N")
          ->check(at_least(1));
  CLI::Option* output = app.add_option("-n,--output-len,--max-new-tokens,--max-tokens", flags->output_len,
                                       "new tokens of a sequence (default 32)")
                            ->type_name("M")
                            ->check(at_least(1));
  app.add_option("--repeats", flags->repeats,
                 "timed runs after one that warms up; medians are shown (default 5)")
      ->type_name("R")
      ->check(at_least(1));
  CLI::Option* json = app.add_option("--json", flags->json,
                                     "gets one object with every figure (a list for several batch sizes)")
                          ->type_name("F");
  app.add_option("--peer-lines", flags->peer_lines,
                 "instead: a JSON line each for dec1, pre1, dec8 and pre8 of this engine, with NAME as the "
                 "model's name")
      ->type_name("NAME")
      ->excludes(batch, input, output, json);
  return [flags] { return flags->peer_lines.empty() ? bench(*flags) : peer_lines(*flags); };
}

}  // namespace bolide::apps
