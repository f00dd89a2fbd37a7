#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"

namespace bolide {

void set_log_level(const std::string& level) {
  std::string word = level;
  for (const char* variable : {"BOLIDE_LOG_LEVEL", "FT_LOG_LEVEL"}) {
    if (word.empty() && std::getenv(variable)) word = std::getenv(variable);
  }
  if (word.empty()) word = "warning";
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
  auto parsed = spdlog::level::from_str(word);
  if (parsed == spdlog::level::off && word != "off") {
    fail(ErrorCode::kUsage, "unknown log level '{}': use trace, debug, info, warning, error or off", word);
  }
  static auto logger = [] {
    auto made = spdlog::stderr_color_mt("bolide");
    made->set_pattern("%n: %^%l%$: %v");
    spdlog::set_default_logger(made);
    return made;
  }();
  logger->set_level(parsed);
}

}  // namespace bolide
