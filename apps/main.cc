#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/follow.h"
#include "apps/interrupt.h"
#include "bolide/error.h"
#include "bolide/log.h"
#include "bolide/version.h"

namespace bolide::apps {
namespace {

struct Entry {
  const char* name;
  const char* summary;
  Action (*add)(CLI::App&);
};

// Every subcommand, in the order of --help.
constexpr Entry kCommands[] = {
    {"convert", "write FasterTransformer's N-gpu folder from a Hugging Face folder", add_convert},
    {"generate", "continue prompts", add_generate},
    {"lambada", "score the last words of texts", add_lambada},
    {"logits", "write the logits of every prompt token", add_logits},
    {"inspect", "show what a checkpoint holds and the memory it will take", add_inspect},
    {"bench", "time prefill and decode against the roof of this machine", add_bench},
    {"tokenize", "lines of text to token ids, and back", add_tokenize},
    {"tune", "time cuBLASLt's algorithms on a GPU and write gemm_config.in", add_tune},
};

constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2;

// What Ctrl-C ended dies of that signal once it has cleaned up, so that a shell's loop around it ends too.
int pass_on_interrupt(int exit_code) {
  if (const int signal = interrupted()) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  return exit_code;
}

// One line on stderr, whatever the message holds.
int report(std::string message, int exit_code) {
  let_first_rank_speak();
  while (!message.empty() && message.back() == '\n') message.pop_back();
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fflush(stdout);
  std::fprintf(stderr, "bolide: error: %s\n", one_line(message).c_str());
  return pass_on_interrupt(exit_code);
}

// CLI11 gives back whole arguments: they are cut as all values in messages are.
std::string with_cut_arguments(std::string message, const std::vector<std::string>& arguments) {
  const auto cut = [&](const std::string& value) {
    const std::string shorter = printable(value);
    if (value.empty() || shorter == value) return;
    for (size_t at = 0; (at = message.find(value, at)) != std::string::npos; at += shorter.size())
      message.replace(at, value.size(), shorter);
  };
  for (const std::string& argument : arguments) {
    cut(argument);
    cut(argument.substr(argument.find('=') + 1));
  }
  return message;
}

int run(const std::vector<std::string>& arguments) {
  CLI::App app("Bolide, an inference engine for transformer models", "bolide");
  app.set_version_flag("--version", std::string("bolide ") + kVersion);
  app.require_subcommand(1);
  app.get_formatter()->column_width(40);
  std::map<const CLI::App*, Action> actions;
  const auto is_known = [](const std::string& name) {
    return std::any_of(std::begin(kCommands), std::end(kCommands),
                       [&](const Entry& e) { return name == e.name; });
  };
  // CLI11 would say that a subcommand is missing, and not what stands in its place.
  const bool global =
      !arguments.empty() && (arguments[0] == "-h" || arguments[0] == "--help" || arguments[0] == "--version");
  if (!arguments.empty() && !global && !is_known(arguments[0])) {
    const char* what = arguments[0].starts_with('-') ? "flag" : "subcommand";
    return report(
        std::string("there is no ") + what + " '" + printable(arguments[0]) + "' here (see 'bolide --help')",
        kWrongUsage);
  }
  for (const Entry& entry : kCommands) {
    CLI::App* command = app.add_subcommand(entry.name, entry.summary);
    command->get_formatter()->column_width(40);
    actions[command] = entry.add(*command);
  }
  try {
    std::vector<std::string> reversed = rewrite_arguments(arguments);
    std::reverse(reversed.begin(), reversed.end());  // the order that CLI11 takes a vector in
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {  // --help, --version
      app.exit(error);
      return kDone;
    }
    const auto chosen = app.get_subcommands();
    return report(with_cut_arguments(error.what(), arguments) + " (see 'bolide " +
                      (chosen.empty() ? "" : chosen.front()->get_name() + " ") + "--help')",
                  kWrongUsage);
  }
  return actions.at(app.get_subcommands().front())();
}

// A reader of standard output that is gone, or a full disk behind it, is a failure.
int flushed(int exit_code) {
  std::cout.flush();
  if (std::cout.good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  return report("cannot write to standard output: it was closed or its disk is full", kFailed);
}

}  // namespace
}  // namespace bolide::apps

int main(int argc, char** argv) {
  using namespace bolide::apps;
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away is a failed write, reported as one
  try {
    bolide::set_log_level("");
    return flushed(run({argv + std::min(argc, 1), argv + argc}));
  } catch (const bolide::Error& error) {
    return report(error.what(), error.code() == bolide::ErrorCode::kUsage ? kWrongUsage : kFailed);
  } catch (const std::bad_alloc&) {
    return report("out of memory: a smaller --batch-size, --max-kv-tokens or --data-type needs less",
                  kFailed);
  } catch (const std::exception& error) {
    return report(error.what(), kFailed);
  }
}
