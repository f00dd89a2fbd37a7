#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/follow.h"
#include "apps/interrupt.h"
#include "apps/json_lines.h"
#include "apps/lambada_flags.h"
#include "apps/lines.h"
#include "apps/load.h"
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

struct Case {
  std::string prompt, target;
  std::vector<int32_t> prompt_ids, target_ids;
  std::string where;
};

// Any other field may be there.
std::string text_of(const std::string& line, const std::string& where) {
  const JsonLine object(line, where);
  const nlohmann::json* text = object.find("text");
  if (!text || !text->is_string())
    throw Error(ErrorCode::kCorrupt, fmt::format("{}: expected an object like {{\"text\": \"...\"}}", where));
  return text->get<std::string>();
}

// As Python's str.strip("\n"), which FasterTransformer's script calls first: line feeds alone, at both ends.
std::string strip_line_feeds(const std::string& text) {
  const size_t first = text.find_first_not_of('\n');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of('\n') + 1 - first);
}

// The target is what follows the last blank, that blank included. Prompt and target go through the tokenizer
// as a pair, and a token belongs to the text that it came from; a special in front of the target belongs to
// the prompt.
Case split(const Tokenizer& tokenizer, const std::string& text, const std::string& where) {
  const size_t blank = text.rfind(' ');
  if (blank == std::string::npos || blank == 0) {
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

constexpr std::string_view kNotKnown = "the accuracy is not known";

std::vector<Case> read_cases(const LambadaFlags& flags, const Tokenizer& tokenizer) {
  std::vector<Case> cases;
  LineReader lines(flags.dataset_path);
  for (std::string line; lines.next(line, [] { return interrupted() != 0; });) {
    stop_if_interrupted(kNotKnown);
    if (is_blank(line)) continue;
    const std::string text = strip_line_feeds(text_of(line, lines.where()));
    cases.push_back(split(tokenizer, text, lines.where()));
  }
  stop_if_interrupted(kNotKnown);
  if (cases.empty())
    throw Error(ErrorCode::kCorrupt, fmt::format("'{}' holds no texts", printable(flags.dataset_path)));
  return cases;
}

// What runs, and whose request answers each case: equal cases share one (--shared-contexts-ratio).
struct Plan {
  std::vector<NamedRequest> requests;
  std::vector<size_t> request_of;  // of each case; a request's first case comes after those of all before it
};

// FasterTransformer runs a batch to the length of its longest target and compares the first ids of each row.
// Ids do not depend on how many follow, so that asking each request for just its target's length scores the
// same, whatever the batch, and costs less.
Plan plan_of(const std::vector<Case>& cases, const LambadaFlags& flags) {
  Plan plan;
  for (size_t i = 0; i < cases.size(); ++i) {
    Request request;
    request.input_ids = cases[i].prompt_ids;
    request.max_new_tokens = static_cast<int32_t>(cases[i].target_ids.size());
    request.sampling.top_k = flags.top_k;
    if (flags.top_k != 1) {
      request.sampling.top_p = flags.top_p;
      request.sampling.temperature = flags.temperature;
    }
    const size_t row = i % static_cast<size_t>(flags.batch_size);
    request.sampling.seed = flags.random_seed[row % flags.random_seed.size()];
    request.tag = 0;  // the seed alone decides a draw, as in FasterTransformer
    request.end_ids.emplace();
    plan.requests.push_back({std::move(request), cases[i].where});
    plan.request_of.push_back(i);
  }
  std::map<std::tuple<std::vector<int32_t>, int32_t, uint64_t>, size_t> distinct;
  std::vector<size_t> request_of;
  for (const NamedRequest& named : plan.requests) {
    const Request& request = named.request;
    const auto key = std::tuple(request.input_ids, request.max_new_tokens, request.sampling.seed);
    request_of.push_back(distinct.emplace(key, distinct.size()).first->second);
  }
  const auto total = static_cast<double>(cases.size());
  if (static_cast<double>(distinct.size()) > flags.shared_contexts_ratio * total) return plan;
  std::vector<NamedRequest> first;
  for (size_t i = 0; i < cases.size(); ++i)
    if (request_of[i] == first.size()) first.push_back(std::move(plan.requests[i]));
  return {std::move(first), std::move(request_of)};
}

std::string case_line(int64_t index, const Case& one, const Result& result, bool correct) {
  const ordered_json object = {
      {"index", index},        {"prompt", one.prompt},         {"target", one.target},
      {"output", result.text}, {"target_ids", one.target_ids}, {"output_ids", result.output_ids},
      {"correct", correct}};
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

// Counts and writes the cases in their order, as the results of their requests come.
class Scorer {
 public:
  Scorer(const std::vector<Case>& cases, const std::vector<size_t>& request_of, Output* out, ProgressBar* bar)
      : cases_(cases), request_of_(request_of), out_(out), bar_(bar) {}

  void take(Result&& result) {
    results_.push_back(std::move(result));
    for (; next_ < cases_.size() && request_of_[next_] < results_.size(); ++next_)
      score(cases_[next_], results_[request_of_[next_]]);
  }
  int64_t correct() const { return correct_; }

 private:
  void score(const Case& one, const Result& result) {
    const auto index = static_cast<int64_t>(next_);
    const bool right = result.output_ids == one.target_ids;
    correct_ += right;
    if (out_) out_->write(case_line(index, one, result, right));
    if (!bar_) return;
    const double percent = 100.0 * static_cast<double>(correct_) / static_cast<double>(index + 1);
    bar_->advance(fmt::format("{:.2f} % right", percent));
  }

  const std::vector<Case>& cases_;
  const std::vector<size_t>& request_of_;
  Output* out_;
  ProgressBar* bar_;
  std::vector<Result> results_;  // of the requests so far
  size_t next_ = 0;              // case
  int64_t correct_ = 0;
};

// Runs all cases and gives the seconds that it took.
double run_cases(Engine& engine, const LambadaFlags& flags, std::vector<NamedRequest> requests,
                 Scorer& scorer) {
  OrderedRun run;
  run.window = read_ahead(flags.batch_size, engine.info());
  run.on_result = [&](int64_t, Result&& result) { scorer.take(std::move(result)); };
  const auto start = std::chrono::steady_clock::now();
  run_in_order(engine, *list_source(std::move(requests)), run);
  stop_if_interrupted(kNotKnown);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int lambada(const LambadaFlags& flags) {
  const EngineConfig config = engine_config(flags.model, flags.batch_size);
  if (followed(config)) return 0;
  Inputs inputs = inputs_of(flags.model);
  inputs.push_back(flags.dataset_path);
  Output out("-", Output::Mode::kDirect, inputs);
  std::optional<Output> cases_out;
  if (!flags.output_path.empty()) cases_out.emplace(flags.output_path, Output::Mode::kDirect, inputs);
  out.write(arguments_of(flags).text());
  out.flush();
  const std::unique_ptr<Engine> engine = load_engine(config, flags.model.quiet);
  const InterruptGuard guard;
  check_against(flags, engine->info());
  if (!engine->tokenizer()) {
    throw Error(ErrorCode::kUsage,
                fmt::format("'{}' has no tokenizer: give --tokenizer-path", flags.model.model));
  }
  const std::vector<Case> cases = read_cases(flags, *engine->tokenizer());
  const auto total = static_cast<int64_t>(cases.size());
  out.write(model_of(flags, engine->info()).text());
  out.write(fmt::format("{}\n{} texts, {} at once\n", describe(engine->info()), total, flags.batch_size));
  out.flush();

  Plan plan = plan_of(cases, flags);
  std::optional<ProgressBar> bar;
  if (!flags.model.quiet) bar.emplace("lambada", total, flags.show_progress);
  Scorer scorer(cases, plan.request_of, cases_out ? &*cases_out : nullptr, bar ? &*bar : nullptr);
  const double seconds = run_cases(*engine, flags, std::move(plan.requests), scorer);
  bar.reset();
  if (cases_out) cases_out->commit();

  const int64_t correct = scorer.correct();
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
  auto flags = std::make_shared<LambadaFlags>();
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
      ->check(fraction(0, 100));
  app.add_flag("--show-progress", flags->show_progress,
               "progress also where stderr is no terminal: a line every tenth of the way")
      ->excludes("--quiet");
  add_data_type(app, flags->model.data_type, "as --data-type", "--inference-data-type")
      ->excludes("--data-type");
  add_lambada_flags(app, *flags);
  return [flags] { return lambada(*flags); };
}

}  // namespace bolide::apps
