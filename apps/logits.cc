#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/follow.h"
#include "apps/interrupt.h"
#include "apps/load.h"
#include "apps/options.h"
#include "apps/ordered_run.h"
#include "apps/output.h"
#include "apps/request_source.h"
#include "apps/safetensors_writer.h"
#include "apps/terminal.h"
#include "bolide/engine.h"
#include "bolide/error.h"
#include "bolide/log.h"

namespace bolide::apps {
namespace {

struct Flags {
  ModelFlags model;
  std::string input, output;
  int64_t batch_size = 8;
};

// Logits that may wait for their turn to be written: one request's worth at least.
constexpr int64_t kWaitingBytes = int64_t{1} << 30;

constexpr std::string_view kNotWritten = "the output is not written";

// All requests with their prompts turned into ids: the file's head needs every length before the first row.
std::vector<NamedRequest> read_requests(const Flags& flags, const Tokenizer* tokenizer) {
  std::vector<NamedRequest> requests;
  Warnings idle;
  const auto source = jsonl_source(flags.input, Request{}, &idle);
  for (Request request; source->next(request, [] { return interrupted() != 0; });) {
    if (!request.prompt.empty()) {
      if (!tokenizer) {
        throw Error(ErrorCode::kCorrupt,
                    fmt::format("{}: 'prompt' needs a tokenizer and the model's folder has none, give "
                                "--tokenizer-path or 'input_ids'",
                                source->where()));
      }
      request.input_ids = tokenizer->encode(request.prompt).ids;
      request.prompt.clear();
    }
    request.max_new_tokens = 0;
    request.return_logits = true;
    request.stop.clear();
    requests.push_back({std::move(request), source->where()});
  }
  stop_if_interrupted(kNotWritten);
  idle.log();
  return requests;
}

int logits(const Flags& flags) {
  const EngineConfig config = engine_config(flags.model, flags.batch_size);
  if (followed(config)) return 0;
  Inputs inputs = inputs_of(flags.model);
  inputs.push_back(flags.input);
  const InterruptGuard guard;
  Output out(flags.output, Output::Mode::kWhole, inputs);
  const std::unique_ptr<Engine> engine = load_engine(config, flags.model.quiet);
  std::vector<NamedRequest> requests = read_requests(flags, engine->tokenizer());
  const int64_t vocab = engine->info().vocab_size;
  std::vector<SafetensorsWriter::Entry> entries;
  int64_t longest = 1;
  for (const NamedRequest& named : requests) {
    const auto tokens = static_cast<int64_t>(named.request.input_ids.size());
    longest = std::max(longest, tokens);
    entries.push_back({std::to_string(entries.size()), {tokens, vocab}});
  }
  SafetensorsWriter writer(out, entries);
  std::optional<ProgressBar> bar;
  if (!flags.model.quiet) bar.emplace("logits", static_cast<int64_t>(requests.size()));
  OrderedRun run;
  run.window = std::max<int64_t>(1, kWaitingBytes / (longest * vocab * static_cast<int64_t>(sizeof(float))));
  run.on_result = [&](int64_t, Result&& result) {
    writer.write(result.logits);
    if (bar) bar->advance();
  };
  run_in_order(*engine, *list_source(std::move(requests)), run);
  stop_if_interrupted(kNotWritten);
  writer.finish();
  out.commit();
  return 0;
}

}  // namespace

Action add_logits(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  add_model_flags(app, flags->model);
  app.add_option("--input", flags->input,
                 "lines of {\"prompt\": \"...\"} or {\"input_ids\": [...]}; - is standard input")
      ->type_name("F.jsonl")
      ->required();
  app.add_option("--output", flags->output,
                 "gets tensors \"0\", \"1\", ... of float32 [tokens, vocabulary], one a line of the input")
      ->type_name("F.safetensors")
      ->required();
  app.add_option("--batch-size", flags->batch_size, "requests that run at once (default 8)")
      ->type_name("B")
      ->check(at_least(1));
  return [flags] { return logits(*flags); };
}

}  // namespace bolide::apps
