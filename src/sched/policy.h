#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace bolide {

// Scheduling decisions as pure functions of counts.

// How many of the waiting requests, oldest first, may start now. Strictly first come first served: nobody
// overtakes a request that waits for pages, so none starves. A request starts when as many pages are free as
// it will have at once, with all of max_new_tokens, and gets them at once. Whoever runs can therefore always
// finish: there is no preemption and no deadlock, at the price of pages that a request which ends early never
// used.
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
  int64_t prompt_tokens = 512;                                // of all prompts
  int64_t decode_rows = std::numeric_limits<int64_t>::max();  // sequences past their prompt
};
// rows[i]: how many tokens of sequence i this step takes in. A sequence past its prompt brings its one new
// token, in the order given as far as the limit goes. Prompts share theirs, the earlier one as much as it can
// use; 0 is a sequence that sits this step out. At least one entry is positive if a sequence is ready and the
// limits let it.
void plan_rows(std::span<const Progress> running, const RowLimits& limits, std::vector<int64_t>& rows);

// What a step of so many tokens costs one stage of a pipeline: fixed + tokens * token, as measured.
struct StageTime {
  double fixed_seconds = 0, token_seconds = 0;
  double of(double tokens) const { return fixed_seconds + token_seconds * tokens; }
};
// One such measurement.
struct StageSample {
  int64_t stage = 0, tokens = 0;
  double seconds = 0;
};
// How a pipeline's work is cut into steps that follow each other through the stages. A step keeps each stage
// busy for its fixed part, whatever its size, so more steps fill the pipeline better and cost more.
// Prompt tokens of a step when `waiting` are to go through; at most max_chunk_tokens.
int64_t micro_batch_tokens(int64_t waiting, std::span<const StageTime> stages, int64_t max_chunk_tokens);
// Into how many steps, at most one a stage, `decoding` sequences are divided so that all get their next id
// soonest.
int64_t decode_micro_batches(int64_t decoding, std::span<const StageTime> stages);
// How many of `ready` sequences, of `decoding` in all, the next of so many steps takes: its share. Fewer wait
// for those that are on their way, or the pipeline would fill with small steps.
int64_t decode_share(int64_t decoding, int64_t ready, int64_t steps);

}  // namespace bolide
