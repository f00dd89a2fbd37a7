#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bolide {

// Scheduling decisions as pure functions of counts.

// How many of the waiting requests, oldest first, may start now. Strictly first come first served: nobody
// overtakes a request that waits for pages, so none starves. A request starts when the pages for its prompt
// and all of max_new_tokens are free, and gets them at once. Whoever runs can therefore always finish: there
// is no preemption and no deadlock, at the price of pages that a request which ends early never used.
int64_t admit(std::span<const int64_t> waiting_pages, int64_t free_pages, int64_t running,
              int64_t max_batch_size);

// One running sequence as the row planner sees it.
struct Progress {
  int64_t known = 0;   // tokens it has
  int64_t cached = 0;  // of those, how many are in the cache; < known
  int64_t prompt = 0;  // of those, how many are the prompt's
};
// rows[i]: how many tokens of sequence i this step takes in. A sequence past its prompt brings its one new
// token. Prompts share max_chunk_tokens in the order given, the earlier one as much as it can
// use; 0 is a sequence that sits this step out. At least one entry is positive if there is any sequence.
void plan_rows(std::span<const Progress> running, int64_t max_chunk_tokens, std::vector<int64_t>& rows);

}  // namespace bolide
