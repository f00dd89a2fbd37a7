#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/printable.h"

namespace bolide {
namespace {

// %* of the pattern: the message as one_line() gives it, whatever a file put into it.
class MessageFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& into) override {
    const std::string line = one_line({message.payload.data(), message.payload.size()});
    into.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<MessageFlag>();
  }
};

// Locks stderr for the lines of this process.
class StderrLock {
 public:
  StderrLock() { ::flockfile(stderr); }
  ~StderrLock() { ::funlockfile(stderr); }
  StderrLock(const StderrLock&) = delete;
  StderrLock& operator=(const StderrLock&) = delete;
};

class Sink final : public spdlog::sinks::stderr_color_sink_mt {
 public:
  std::function<void()> before;  // of each line; used with stderr locked

  void log(const spdlog::details::log_msg& message) override {
    const StderrLock lock;
    if (before) before();
    spdlog::sinks::stderr_color_sink_mt::log(message);
  }
};

const std::shared_ptr<Sink>& sink() {
  static const auto made = std::make_shared<Sink>();
  return made;
}

}  // namespace

void set_before_log(std::function<void()> clear) {
  const StderrLock lock;
  sink()->before = std::move(clear);
}

void Warnings::log() const {
  if (count_ == 0) return;
  bolide::log::warn("{}{}", first_, count_ > 1 ? fmt::format(" ({} more like it)", count_ - 1) : "");
}

void set_log_level(const std::string& level) {
  std::string word = level;
  for (const char* variable : {"BOLIDE_LOG_LEVEL", "FT_LOG_LEVEL"}) {
    if (word.empty() && std::getenv(variable)) word = std::getenv(variable);
  }
  if (word.empty()) word = "warning";
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
  auto parsed = spdlog::level::from_str(word);
  if (parsed == spdlog::level::off && word != "off") {
    fail(ErrorCode::kUsage, "unknown log level '{}': use trace, debug, info, warning, error or off",
         printable(word));
  }
  static auto logger = [] {
    auto made = std::make_shared<spdlog::logger>("bolide", sink());
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<MessageFlag>('*').set_pattern("%n: %^%l%$: %*");
    made->set_formatter(std::move(formatter));
    spdlog::set_default_logger(made);
    return made;
  }();
  logger->set_level(parsed);
}

}  // namespace bolide
