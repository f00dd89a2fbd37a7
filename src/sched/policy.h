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
  bool ready = true;   // its last token's id is known, or need not be
};
struct RowLimits {
  int64_t prompt_tokens = 512;  // of all prompts
  int64_t decode_rows = 0;      // sequences past their prompt; 0: all
};
// rows[i]: how many tokens of sequence i this step takes in. A sequence past its prompt brings its one new
// token, in the order given as far as the limit goes. Prompts share theirs, the earlier one as much as it can
// use; 0 is a sequence that sits this step out. At least one entry is positive if any sequence is ready.
void plan_rows(std::span<const Progress> running, const RowLimits& limits, std::vector<int64_t>& rows);

// Prompt tokens of a micro-batch when `waiting` are to go through `stages` stages that each take
// fixed_seconds and token_seconds a token. n micro-batches of equal size take n + stages - 1 turns: many of
// them fill the stages early, and pay the fixed part more often. 0 seconds: not measured yet.
int64_t micro_batch_tokens(int64_t waiting, int stages, double fixed_seconds, double token_seconds,
                           int64_t max_chunk_tokens);

}  // namespace bolide
