#include "apps/command.h"
#include "bolide/error.h"

namespace bolide::apps {

Action add_tune(CLI::App& app) {
  app.allow_extras();
  return []() -> int {
    throw Error(
        ErrorCode::kUsage,
        "'tune' is not available in this version: the CPU backend has no GEMM candidates to choose from, run "
        "the model without it");
  };
}

}  // namespace bolide::apps
