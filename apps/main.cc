#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/follow.h"
#include "apps/interrupt.h"
#include "apps/options.h"
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

// CLI11 would say that a subcommand is missing, and not what stands in its place.
std::vector<std::string> normal_words(const CLI::App& app, const std::vector<std::string>& arguments) {
  if (arguments.empty()) throw Error(ErrorCode::kUsage, "a subcommand is missing (see 'bolide --help')");
  const std::string& first = arguments.front();
  if (app.get_option_no_throw(first)) return {first};
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() != first) continue;
    std::vector<std::string> words = normal_arguments(*command, {arguments.begin() + 1, arguments.end()});
    words.insert(words.begin(), first);
    return words;
  }
  std::vector<std::string> names{"--help", "--version"};
  for (const Entry& entry : kCommands) names.emplace_back(entry.name);
  const std::string near = nearest(first, names);
  const bool flag = first.starts_with('-');
  std::string text = (flag ? "unknown flag " : "unknown subcommand ") + printable(first);
  if (!near.empty()) throw Error(ErrorCode::kUsage, text + ": did you mean " + near + "?");
  text += flag ? ": a subcommand goes first (see 'bolide --help')" : " (see 'bolide --help')";
  throw Error(ErrorCode::kUsage, text);
}

int run(const std::vector<std::string>& arguments) {
  CLI::App app("Bolide, an inference engine for transformer models", "bolide");
  app.set_version_flag("-V,--version", std::string("bolide ") + kVersion);
  app.require_subcommand(1);
  app.get_formatter()->column_width(40);
  std::map<const CLI::App*, Action> actions;
  for (const Entry& entry : kCommands) {
    CLI::App* command = app.add_subcommand(entry.name, entry.summary);
    command->get_formatter()->column_width(40);
    actions[command] = entry.add(*command);
  }
  try {
    std::vector<std::string> reversed = normal_words(app, arguments);
    std::reverse(reversed.begin(), reversed.end());  // the order that CLI11 takes a vector in
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {  // --help, --version
      app.exit(error);
      return kDone;
    }
    const auto chosen = app.get_subcommands();
    throw Error(ErrorCode::kUsage, std::string(error.what()) + " (see 'bolide " +
                                       (chosen.empty() ? "" : chosen.front()->get_name() + " ") + "--help')");
  }
  const CLI::App* chosen = app.get_subcommands().front();
  try {
    return actions.at(chosen)();
  } catch (const std::bad_alloc&) {
    const bool sized = chosen->get_option_no_throw("--max-kv-tokens") != nullptr;
    throw Error(ErrorCode::kResource,
                sized ? "out of memory: a smaller --batch-size, --max-kv-tokens or --data-type needs less"
                      : "out of memory");
  }
}

// Started with a standard stream closed (>&-), the first file opened would get its number, and what is meant
// for the stream.
void hold_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", O_RDWR);
}

// With less, a thread's stack would end inside a kernel: by a signal, and without a word.
void check_stack() {
  constexpr rlim_t kLeast = rlim_t{128} << 10;
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kLeast) return;
  throw bolide::Error(bolide::ErrorCode::kResource, "the limit on the stack is " +
                                                        std::to_string(limit.rlim_cur >> 10) +
                                                        " KiB: raise it to 8192 (ulimit -s), 128 at least");
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
  hold_standard_streams();
  // A reader that went away and a limit on the size of files are failed writes, reported as such.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    bolide::set_log_level("");
    check_stack();
    return flushed(run({argv + std::min(argc, 1), argv + argc}));
  } catch (const bolide::Error& error) {
    return report(in_flags(error), error.code() == bolide::ErrorCode::kUsage ? kWrongUsage : kFailed);
  } catch (const std::bad_alloc&) {
    return report("out of memory", kFailed);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again) return report(error.what(), kFailed);
    return report("cannot start a thread: a limit on threads or on memory is reached (ulimit -u, ulimit -s)",
                  kFailed);
  } catch (const std::exception& error) {
    return report(error.what(), kFailed);
  }
}
