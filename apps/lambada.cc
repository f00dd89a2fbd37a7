#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/follow.h"
#include "apps/interrupt.h"
#include "apps/lines.h"
#include "apps/options.h"
#include "apps/ordered_run.h"
#include "apps/output.h"
#include "apps/request_source.h"
#include "apps/terminal.h"
#include "bolide/engine.h"
#include "bolide/error.h"

namespace bolide::apps {
namespace {

using nlohmann::ordered_json;

struct Flags {
  ModelFlags model;
  std::string dataset_path, output_path;
  int64_t batch_size = 8;
  std::optional<double> acc_threshold;
  bool show_progress = false;
};

struct Case {
  std::string prompt, target;
  std::vector<int32_t> prompt_ids, target_ids;
  std::string where;
};

std::string text_of(const std::string& line, const std::string& where) {
  const auto object = nlohmann::json::parse(line, nullptr, false);
  if (object.is_discarded()) throw Error(ErrorCode::kCorrupt, fmt::format("{}: not valid JSON", where));
  if (!object.is_object() || !object.contains("text") || !object["text"].is_string()) {
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: expected an object like {{\"text\": \"...\"}}", where));
  }
  return object["text"].get<std::string>();
}

// The target is what follows the last blank, that blank included. Prompt and target go through the tokenizer
// as a pair, and a token belongs to the text that it came from; a special in front of the target belongs to
// the prompt.
Case split(const Tokenizer& tokenizer, const std::string& text, const std::string& where) {
  const size_t blank = text.rfind(' ');
  if (blank == std::string::npos || blank == 0 || blank + 1 == text.size()) {
    throw Error(ErrorCode::kCorrupt,
                fmt::format("{}: the text must be a prompt, a blank and a last word", where));
  }
  Case out{text.substr(0, blank), text.substr(blank), {}, {}, where};
  const Encoding pair = tokenizer.encode_pair(out.prompt, out.target);
  for (size_t i = 0; i < pair.ids.size(); ++i) {
    if (pair.sequence[i] == 1) {
      out.target_ids.push_back(pair.ids[i]);
    } else if (out.target_ids.empty()) {
      out.prompt_ids.push_back(pair.ids[i]);
    }
  }
  if (out.prompt_ids.empty() || out.target_ids.empty()) {
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: the {} has no tokens", where,
                                                 out.target_ids.empty() ? "last word" : "prompt"));
  }
  return out;
}

std::vector<Case> read_cases(const Flags& flags, const Tokenizer& tokenizer) {
  std::vector<Case> cases;
  LineReader lines(flags.dataset_path);
  for (std::string line; lines.next(line);) {
    if (!line.empty()) cases.push_back(split(tokenizer, text_of(line, lines.where()), lines.where()));
  }
  if (cases.empty()) throw Error(ErrorCode::kCorrupt, fmt::format("'{}' holds no texts", flags.dataset_path));
  return cases;
}

// FasterTransformer runs a batch to the length of its longest target and compares the first ids of each row.
// Greedy ids do not depend on how many follow, so that asking each request for just its target's length
// scores the same, whatever the batch, and costs less.
std::vector<NamedRequest> requests_for(const std::vector<Case>& cases) {
  std::vector<NamedRequest> requests;
  for (const Case& one : cases) {
    Request request;
    request.input_ids = one.prompt_ids;
    request.max_new_tokens = static_cast<int32_t>(one.target_ids.size());
    request.sampling.top_k = 1;
    request.end_id = -1;
    requests.push_back({std::move(request), one.where});
  }
  return requests;
}

std::string case_line(int64_t index, const Case& one, const Result& result, bool correct) {
  const ordered_json object = {
      {"index", index},        {"prompt", one.prompt},         {"target", one.target},
      {"output", result.text}, {"target_ids", one.target_ids}, {"output_ids", result.output_ids},
      {"correct", correct}};
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

int lambada(const Flags& flags) {
  const EngineConfig config = engine_config(flags.model, flags.batch_size);
  if (followed(config)) return 0;
  Output out("-");
  std::optional<Output> cases_out;
  if (!flags.output_path.empty()) cases_out.emplace(flags.output_path);
  const std::unique_ptr<Engine> engine = Engine::create(config);
  if (!engine->tokenizer()) {
    throw Error(ErrorCode::kUsage,
                fmt::format("'{}' has no tokenizer: give --tokenizer-path", flags.model.model));
  }
  const std::vector<Case> cases = read_cases(flags, *engine->tokenizer());
  const auto total = static_cast<int64_t>(cases.size());
  out.write(fmt::format("{}\n{} texts, {} at once\n", describe(engine->info()), total, flags.batch_size));
  out.flush();

  InterruptGuard guard;
  std::optional<ProgressBar> bar(std::in_place, "lambada", total, flags.show_progress);
  int64_t correct = 0;
  OrderedRun run;
  run.window = std::max<int64_t>(64, 4 * flags.batch_size);
  run.on_result = [&](int64_t index, Result&& result) {
    const Case& one = cases[static_cast<size_t>(index)];
    const bool right = result.output_ids == one.target_ids;
    correct += right;
    if (cases_out) cases_out->write(case_line(index, one, result, right));
    bar->advance(
        fmt::format("{:.2f} % right", 100.0 * static_cast<double>(correct) / static_cast<double>(index + 1)));
  };
  const auto start = std::chrono::steady_clock::now();
  run_in_order(*engine, *list_source(requests_for(cases)), run);
  if (interrupted()) throw Error(ErrorCode::kResource, "interrupted: the accuracy is not known");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  bar.reset();
  if (cases_out) cases_out->commit();

  const double accuracy = 100.0 * static_cast<double>(correct) / static_cast<double>(total);
  out.write(fmt::format("Accuracy: {:.4f}% ({}/{}) (elapsed time: {:.4f} sec, {:.1f} prompts/s)\n", accuracy,
                        correct, total, seconds, static_cast<double>(total) / seconds));
  const bool passed = !flags.acc_threshold || accuracy >= *flags.acc_threshold;
  if (flags.acc_threshold) {
    out.write(styled(passed ? "PASS" : "FAIL", passed ? Style::kGreen : Style::kRed, out.fd()) + "\n");
  }
  out.commit();
  if (passed) return 0;
  throw Error(ErrorCode::kInternal,
              fmt::format("accuracy {:.4f} % is under --acc-threshold {}", accuracy, *flags.acc_threshold));
}

}  // namespace

Action add_lambada(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  add_model_flags(app, flags->model);
  app.add_option("--dataset-path", flags->dataset_path, "lines of {\"text\": \"...\"}")
      ->type_name("F.jsonl")
      ->required();
  app.add_option("--batch-size", flags->batch_size,
                 "texts that run at once; the score does not depend on it (default 8)")
      ->type_name("B")
      ->check(at_least(1));
  app.add_option("--output-path", flags->output_path,
                 "gets a line of {index, prompt, target, output, target_ids, output_ids, correct} a text")
      ->type_name("F.jsonl");
  app.add_option("--acc-threshold", flags->acc_threshold,
                 "print PASS, or FAIL with exit code 1 when the accuracy in percent is under it")
      ->type_name("X")
      ->check(CLI::Range(0.0, 100.0));
  app.add_flag("--show-progress", flags->show_progress,
               "progress also where stderr is no terminal: a line every tenth of the way");
  return [flags] { return lambada(*flags); };
}

}  // namespace bolide::apps
