#include "sched/policy.h"

#include <algorithm>

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

void plan_rows(std::span<const Progress> running, int64_t max_chunk_tokens, std::vector<int64_t>& rows) {
  rows.clear();
  int64_t budget = max_chunk_tokens;
  for (const Progress& sequence : running) {
    if (sequence.cached >= sequence.prompt) {
      rows.push_back(sequence.known - sequence.cached);
      continue;
    }
    const int64_t chunk = std::min(sequence.prompt - sequence.cached, budget);
    rows.push_back(chunk);
    budget -= chunk;
  }
}

}  // namespace bolide
