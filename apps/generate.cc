#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/follow.h"
#include "apps/interrupt.h"
#include "apps/load.h"
#include "apps/options.h"
#include "apps/ordered_run.h"
#include "apps/output.h"
#include "apps/request_source.h"
#include "apps/run_summary.h"
#include "apps/stream_printer.h"
#include "apps/terminal.h"
#include "bolide/engine.h"
#include "bolide/error.h"
#include "bolide/generation_config.h"
#include "bolide/log.h"

namespace bolide::apps {
namespace {

using nlohmann::ordered_json;

struct Flags {
  ModelFlags model;
  std::vector<std::string> prompts;
  std::string input, sample_input_file, output, generation_config = "auto";
  int64_t batch_size = 32;
  bool stream = false, ignore_eos = false;
  Request defaults;
  // Of those that are given on the command line, generation_config.json has no say.
  const CLI::Option *temperature = nullptr, *top_k = nullptr, *top_p = nullptr, *max_new_tokens = nullptr;
};

std::string json_line(const ordered_json& object) {
  // Text of a model may hold any bytes a vocabulary holds; JSON may not.
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string result_line(int64_t index, const Result& result) {
  ordered_json object;
  object["index"] = index;
  object["output_ids"] = result.output_ids;
  object["text"] = result.text;
  object["finish_reason"] = name_of(result.finish_reason);
  object["prompt_tokens"] = result.prompt_tokens;
  if (!result.log_probs.empty()) object["log_probs"] = result.log_probs;
  return json_line(object);
}

std::unique_ptr<RequestSource> open_source(const Flags& flags) {
  const int given = !flags.prompts.empty() + !flags.input.empty() + !flags.sample_input_file.empty();
  if (given != 1) {
    throw Error(ErrorCode::kUsage,
                fmt::format("{}: give one of --prompt, --input and --sample-input-file",
                            given == 0 ? "nothing to continue" : "more than one source of prompts"));
  }
  if (!flags.prompts.empty()) {
    std::vector<NamedRequest> requests;
    for (const std::string& prompt : flags.prompts) {
      requests.push_back({flags.defaults, fmt::format("--prompt number {}", requests.size() + 1)});
      requests.back().request.prompt = prompt;
    }
    return list_source(std::move(requests), ErrorCode::kUsage);
  }
  if (!flags.input.empty()) return jsonl_source(flags.input, flags.defaults);
  return text_source(flags.sample_input_file, flags.defaults);
}

// Lines of JSON: with --stream one {"index", "id", "text"} a token, in the order in which they are made, and
// always one result a request, in the order of the requests.
class JsonlWriter {
 public:
  explicit JsonlWriter(Output& out) : out_(out) {}
  bool token(int64_t index, const StreamEvent& event) {
    std::lock_guard lock(mutex_);
    if (broken_) return false;
    begun_ = std::max(begun_, index + 1);
    try {
      // No id: text that the end id has made certain.
      const ordered_json id = event.id < 0 ? ordered_json() : ordered_json(event.id);
      out_.write(json_line({{"index", index}, {"id", id}, {"text", event.text}}));
      out_.flush();
    } catch (...) {
      broken_ = std::current_exception();
    }
    return !broken_;
  }
  // Tokens are written of requests whose results are not.
  bool unfinished() const { return begun_ > finished_; }
  void result(int64_t index, const Result& result) {
    std::lock_guard lock(mutex_);
    finished_ = index + 1;
    if (broken_) std::rethrow_exception(broken_);
    out_.write(result_line(index, result));
    out_.flush();
  }

 private:
  Output& out_;
  std::mutex mutex_;
  std::exception_ptr broken_;
  int64_t begun_ = 0, finished_ = 0;  // one over the last index
};

// Of requests; empty: they are --prompt's.
const std::string& file_of(const Flags& flags) {
  return flags.input.empty() ? flags.sample_input_file : flags.input;
}

// How far results in a file are. None where they appear on the terminal themselves.
std::optional<ProgressBar> bar_for(const Flags& flags, const Output& out, bool as_text) {
  if (as_text || flags.model.quiet || out.is_terminal() || !is_terminal(STDERR_FILENO)) return std::nullopt;
  const std::string& file = file_of(flags);
  const int64_t total = file.empty() ? static_cast<int64_t>(flags.prompts.size()) : count_requests(file);
  return std::optional<ProgressBar>(std::in_place, "generate", total);
}

// What is there when Ctrl-C has ended a run.
std::string what_is_left(int64_t done, bool as_text, bool unfinished) {
  const char* what =
      as_text ? (done == 1 ? "text is" : "texts are") : (done == 1 ? "result is" : "results are");
  return fmt::format("interrupted: {} {} written whole, {}", done, what,
                     unfinished ? "of another the beginning" : "the rest is not");
}

void check_modes(const Flags& flags, bool as_text) {
  if (as_text && flags.defaults.return_log_probs) {
    throw Error(
        ErrorCode::kUsage,
        "--return-log-probs has no place in plain text: add --output F.jsonl, or --output - for lines of "
        "JSON on standard output");
  }
}

void check_tokenizer(const Flags& flags, const Engine& engine) {
  if (engine.tokenizer()) return;
  const char* flag = !flags.prompts.empty()             ? "--prompt"
                     : !flags.sample_input_file.empty() ? "--sample-input-file"
                     : !flags.defaults.stop.empty()     ? "--stop"
                                                        : nullptr;
  if (!flag) return;
  throw Error(
      ErrorCode::kUsage,
      fmt::format("{} needs a tokenizer and the model's folder has none: give --tokenizer-path", flag));
}

// What the model's makers recommend, where no flag says otherwise; and a line about it.
std::string recommend(Flags& flags) {
  const GenerationConfig made = read_generation_config(flags.model.model, flags.generation_config);
  if (!made.left_out.empty()) {
    Warnings warnings;
    warnings.add([&] {
      return fmt::format("{} asks for {}: this version does not have that, and leaves it out", made.file,
                         fmt::join(made.left_out, ", "));
    });
    warnings.log();
  }
  SamplingParams& sampling = flags.defaults.sampling;
  std::vector<std::string> taken;
  const auto take = [&](const char* name, const CLI::Option* flag, const auto& from, auto& to) {
    if (flag->count() > 0 || !from) return;
    to = *from;
    taken.push_back(fmt::format("{} {}", name, *from));
  };
  take("temperature", flags.temperature, made.temperature, sampling.temperature);
  take("top-k", flags.top_k, made.top_k, sampling.top_k);
  take("top-p", flags.top_p, made.top_p, sampling.top_p);
  take("new tokens at most", flags.max_new_tokens, made.max_new_tokens, flags.defaults.max_new_tokens);
  if (made.end_ids && !flags.ignore_eos) flags.defaults.end_ids = made.end_ids;
  if (taken.empty()) return "";
  return fmt::format("{} ({}; --generation-config none turns it off)", fmt::join(taken, ", "), made.file);
}

int generate(Flags flags) {
  const EngineConfig config = engine_config(flags.model, flags.batch_size);
  if (followed(config)) return 0;
  const std::string recommended = recommend(flags);
  const std::unique_ptr<RequestSource> source = open_source(flags);
  const bool as_text = !flags.prompts.empty() && flags.output.empty();
  check_modes(flags, as_text);
  Inputs inputs = inputs_of(flags.model);
  for (const std::string& file : {flags.input, flags.sample_input_file})
    if (!file.empty()) inputs.push_back(file);
  Output out(flags.output.empty() ? "-" : flags.output, Output::Mode::kDirect, inputs);
  StreamPrinter printer(out);
  JsonlWriter writer(out);
  const std::unique_ptr<Engine> engine = load_engine(config, flags.model.quiet);
  check_tokenizer(flags, *engine);
  if (!recommended.empty() && !flags.model.quiet && is_terminal(STDERR_FILENO))
    fmt::print(stderr, "sampling: {}\n", recommended);

  std::optional<RunSummary> summary;
  if (!flags.model.quiet && is_terminal(STDERR_FILENO)) summary.emplace(*engine);
  std::optional<ProgressBar> bar = bar_for(flags, out, as_text);
  OrderedRun run;
  run.window = read_ahead(flags.batch_size, engine->info());
  run.before_submit = [&](int64_t index, Request& request) {
    if (as_text && out.is_terminal())
      printer.set_heading(index, styled(request.prompt, Style::kBold, out.fd()));
    if (flags.stream) {
      request.on_token = [&, index](const StreamEvent& event) {
        return as_text ? printer.push(index, event.text) : writer.token(index, event);
      };
    }
    if (summary) summary->before_submit(index, request);
  };
  run.on_result = [&](int64_t index, Result&& result) {
    if (summary) summary->add(result);
    if (bar) bar->advance();
    if (as_text) {
      printer.finish(index, result.text);
    } else {
      writer.result(index, result);
    }
  };
  InterruptGuard guard;
  const int64_t done = run_in_order(*engine, *source, run);
  if (interrupted()) {
    const bool unfinished = as_text ? printer.unfinished() : writer.unfinished();
    if (as_text && unfinished) out.write("\n");
    out.flush();
    throw Error(ErrorCode::kResource, what_is_left(done, as_text, unfinished));
  }
  out.commit();
  bar.reset();
  if (done == 0) {
    Warnings nothing;
    nothing.add([&] {
      const std::string& file = file_of(flags);
      return fmt::format("{} holds no request: nothing was generated", file == "-" ? "standard input" : file);
    });
    nothing.log();
  }
  if (summary) fmt::print(stderr, "{}\n", summary->text());
  return 0;
}

void add_sampling_flags(CLI::App& app, Flags& flags) {
  Request& defaults = flags.defaults;
  app.add_option(
         "--generation-config", flags.generation_config,
         "defaults of sampling, length and end ids: auto (the model's generation_config.json), none, or "
         "another file or folder (default auto)")
      ->type_name("auto|none|F");
  flags.max_new_tokens = app.add_option("-n,--max-new-tokens,--max-tokens,--output-len,--n-predict",
                                        defaults.max_new_tokens, "new tokens at most (default 32)")
                             ->type_name("N")
                             ->check(at_least(1));
  flags.temperature =
      app.add_option(
             "--temperature,--temp", defaults.sampling.temperature,
             "divides the logits; above 0 it draws, 0 is greedy (default: 1 with --top-k or --top-p, else "
             "greedy)")
          ->type_name("T")
          ->check(fraction(0, std::numeric_limits<float>::max()));
  flags.top_k = app.add_option("--top-k", defaults.sampling.top_k,
                               "draw from the K likeliest ids (default 0: off, as is -1; 1 is greedy)")
                    ->type_name("K")
                    ->check(at_least(-1));
  flags.top_p = app.add_option("--top-p", defaults.sampling.top_p,
                               "draw from the likeliest ids that hold probability P (default 0: off)")
                    ->type_name("P")
                    ->check(fraction(0, 1));
  app.add_option("-s,--seed", defaults.sampling.seed, "of the draws (default 0)")
      ->type_name("S")
      ->check(whole_number());
  app.add_option("--stop", defaults.stop, "end the text before any of these; \\n, \\t, \\r and \\\\ are read")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--ignore-eos", flags.ignore_eos, "do not end at the model's end id");
  app.add_flag("--return-log-probs", defaults.return_log_probs, "log_probs in each output line");
  for (const NeutralParameter& parameter : neutral_parameters()) {
    add_neutral_flag(app, std::string("--") + parameter.name, parameter.neutral);
  }
  refuse_flag(app, "--bad-words", "leave it out");
  refuse_flag(app, "--early-stopping", "there is no beam search to stop, leave it out");
}

}  // namespace

Action add_generate(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  add_model_flags(app, flags->model);
  app.add_option("-p,--prompt", flags->prompts, "text to continue; the new text goes to standard output")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--input", flags->input,
                 "lines of {\"prompt\": \"...\"} or {\"input_ids\": [...]}, with optional max_new_tokens, "
                 "temperature, "
                 "top_k, top_p, seed, stop, end_id, ignore_eos, return_log_probs; - is standard input")
      ->type_name("F.jsonl");
  app.add_option("--sample-input-file", flags->sample_input_file, "plain text, one prompt a line")
      ->type_name("F");
  app.add_option("--output", flags->output,
                 "a line of {\"index\", \"output_ids\", \"text\", \"finish_reason\", \"prompt_tokens\"} a "
                 "request, in "
                 "order (default for files: standard output)")
      ->type_name("F.jsonl");
  app.add_option("--batch-size", flags->batch_size, "requests that run at once (default 32)")
      ->type_name("B")
      ->check(at_least(1));
  app.add_flag("--stream", flags->stream,
               "print each token as it comes (in --output: a line of index, id, text)");
  add_sampling_flags(app, *flags);
  return [flags] {
    if (flags->ignore_eos) flags->defaults.end_ids.emplace();
    for (std::string& stop : flags->defaults.stop) stop = unescaped(stop);
    return generate(*flags);
  };
}

}  // namespace bolide::apps
