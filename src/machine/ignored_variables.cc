#include "machine/ignored_variables.h"

#include <cstdlib>
#include <mutex>
#include <string_view>

#include "base/log.h"
#include "base/printable.h"

namespace bolide {
namespace {

struct Variable {
  const char* name;
  std::string_view as_here;  // a value that asks for what is done anyway
  const char* instead;
};
constexpr Variable kIgnored[] = {
    {"FMHA_ENABLE", "ON", "prompts always go through fused attention"},
    {"CONTEXT_ATTENTION_BMM1_HALF_ACCUM", "OFF", "scores are always summed in fp32"},
    {"FT_NVTX", "OFF", "there are no ranges; a profiler shows the kernels by name"},
    {"FT_DEBUG_LEVEL", "", "every launch is checked; CUDA_LAUNCH_BLOCKING=1 finds the kernel of a fault"},
    {"FT_LOG_FIRST_RANK_ONLY", "ON", "ranks other than the first print their own faults, and nothing else"},
};

}  // namespace

void warn_ignored_variables() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const Variable& variable : kIgnored) {
      const char* value = std::getenv(variable.name);
      if (!value || std::string_view(value).empty() || value == variable.as_here) continue;
      log::warn("{}={} is ignored: {}", variable.name, printable(value), variable.instead);
    }
  });
}

}  // namespace bolide
