#include "apps/run_summary.h"

#include <fmt/format.h>

#include <mutex>
#include <optional>
#include <utility>

namespace bolide::apps {

struct RunSummary::Steps {
  std::mutex mutex;
  int64_t prompt_tokens = 0, decoded = 0;
  double prompt_seconds = 0, decode_seconds = 0;
  Clock::time_point submitted{};
  std::optional<double> first_token;  // seconds after its request was submitted
};

RunSummary::RunSummary(Engine& engine) : steps_(std::make_shared<Steps>()) {
  engine.set_step_observer([steps = steps_](const StepInfo& step) {
    const std::lock_guard lock(steps->mutex);
    const int64_t rows = step.prefill_tokens + step.decode_rows;
    if (rows == 0) return;
    // A step may do both: its time is divided by rows.
    const double share = static_cast<double>(step.prefill_tokens) / static_cast<double>(rows);
    steps->prompt_tokens += step.prefill_tokens;
    steps->decoded += step.decode_rows;
    steps->prompt_seconds += share * step.seconds;
    steps->decode_seconds += (1 - share) * step.seconds;
  });
}

void RunSummary::before_submit(int64_t index, Request& request) {
  if (index != 0) return;
  steps_->submitted = Clock::now();
  request.on_token = [steps = steps_, next = std::move(request.on_token)](const StreamEvent& event) {
    {
      const std::lock_guard lock(steps->mutex);
      if (!steps->first_token)
        steps->first_token = std::chrono::duration<double>(Clock::now() - steps->submitted).count();
    }
    return !next || next(event);
  };
}

std::string RunSummary::text() const {
  const std::lock_guard lock(steps_->mutex);
  const auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  // A request of one new token has no step of its own for it.
  const double all = std::chrono::duration<double>(Clock::now() - start_).count();
  const double output_rate =
      steps_->decoded > 0 ? rate(steps_->decoded, steps_->decode_seconds) : rate(new_tokens_, all);
  std::string out =
      fmt::format("prompt {} at {:.1f} tokens/s, output {} at {:.1f} tokens/s", steps_->prompt_tokens,
                  rate(steps_->prompt_tokens, steps_->prompt_seconds), new_tokens_, output_rate);
  if (steps_->first_token) out += fmt::format(", first token after {:.0f} ms", *steps_->first_token * 1e3);
  return out;
}

}  // namespace bolide::apps
