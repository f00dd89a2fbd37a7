#include "sched/policy.h"

#include <algorithm>
#include <cmath>

namespace bolide {

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
      const bool goes = sequence.ready && (limits.decode_rows == 0 || places-- > 0);
      rows.push_back(goes ? sequence.known - sequence.cached : 0);
      continue;
    }
    const int64_t chunk = std::min(sequence.prompt - sequence.cached, budget);
    rows.push_back(chunk);
    budget -= chunk;
  }
}

int64_t micro_batch_tokens(int64_t waiting, int stages, double fixed_seconds, double token_seconds,
                           int64_t max_chunk_tokens) {
  constexpr int64_t kFewest = 16;  // fewer rows than a tile has cost what a tile costs
  if (stages == 1) return max_chunk_tokens;
  double best = static_cast<double>(waiting) / (2 * stages);
  // (n + stages - 1) (fixed + token waiting / n) is least at n = sqrt((stages - 1) token waiting / fixed).
  if (fixed_seconds > 0 && token_seconds > 0)
    best = std::sqrt(static_cast<double>(waiting) * fixed_seconds / ((stages - 1) * token_seconds));
  return std::min(std::max(static_cast<int64_t>(best), kFewest), max_chunk_tokens);
}

}  // namespace bolide
