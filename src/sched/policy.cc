#include "sched/policy.h"

#include <algorithm>
#include <limits>

namespace bolide {
namespace {

// A step on its way through all stages, and what it keeps the slowest of them busy.
struct StepTime {
  double through = 0, slowest = 0;
};
StepTime time_of(double tokens, std::span<const StageTime> stages) {
  StepTime time;
  for (const StageTime& stage : stages) {
    time.through += stage.of(tokens);
    time.slowest = std::max(time.slowest, stage.of(tokens));
  }
  return time;
}

}  // namespace

int64_t admit(std::span<const int64_t> waiting_pages, int64_t free_pages, int64_t running,
              int64_t max_batch_size) {
  int64_t count = 0;
  for (int64_t pages : waiting_pages) {
    if (running + count >= max_batch_size || pages > free_pages) break;
    free_pages -= pages;
    ++count;
  }
  return count;
}

void plan_rows(std::span<const Progress> running, const RowLimits& limits, std::vector<int64_t>& rows) {
  rows.clear();
  int64_t budget = limits.prompt_tokens, places = limits.decode_rows;
  for (const Progress& sequence : running) {
    if (sequence.cached >= sequence.prompt) {
      const bool goes = sequence.ready && places-- > 0;
      rows.push_back(goes ? sequence.known - sequence.cached : 0);
      continue;
    }
    const int64_t chunk = std::min(sequence.prompt - sequence.cached, budget);
    rows.push_back(chunk);
    budget -= chunk;
  }
}

int64_t micro_batch_tokens(int64_t waiting, std::span<const StageTime> stages, int64_t max_chunk_tokens) {
  constexpr int64_t kMin = 32;  // fewer tokens take hardly less time
  int64_t best = max_chunk_tokens;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t steps = 1; steps <= waiting; ++steps) {
    const int64_t tokens = (waiting + steps - 1) / steps;
    if (tokens > max_chunk_tokens) continue;
    if (tokens < kMin && steps > 1) break;
    const StepTime time = time_of(static_cast<double>(tokens), stages);
    // The first goes through all stages, each other one leaves the slowest a turn later.
    const double all = time.through + static_cast<double>(steps - 1) * time.slowest;
    if (all < least) {
      least = all;
      best = tokens;
    }
  }
  return best;
}

int64_t decode_micro_batches(int64_t decoding, std::span<const StageTime> stages) {
  int64_t best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t steps = 1; steps <= std::min<int64_t>(decoding, std::ssize(stages)); ++steps) {
    const StepTime time = time_of(static_cast<double>((decoding + steps - 1) / steps), stages);
    // A sequence comes again when its step is through, and when the slowest stage has had the others.
    const double round = std::max(time.through, static_cast<double>(steps) * time.slowest);
    if (round < least) {
      least = round;
      best = steps;
    }
  }
  return best;
}

int64_t decode_share(int64_t decoding, int64_t ready, int64_t steps) {
  const bool wait = ready < decoding / steps && ready < decoding;
  return wait ? 0 : (decoding + steps - 1) / steps;
}

}  // namespace bolide
