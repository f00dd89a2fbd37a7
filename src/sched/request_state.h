#pragma once

#include <cstdint>
#include <vector>

#include "bolide/sampling.h"
#include "cache/sequence_pages.h"

namespace bolide {

// What the scheduler and a step know of one request. Owned by the runtime, touched by the engine's thread
// only.
struct RequestState {
  uint64_t id = 0;
  SamplingParams sampling;
  uint64_t tag = 0;
  int64_t max_new_tokens = 0;
  bool return_logits = false;
  bool return_log_probs = false;

  std::vector<int32_t> tokens;  // the prompt, then what was made
  int64_t prompt_tokens = 0;
  SequencePages pages;        // pages.tokens() of the tokens have keys and values in the cache
  std::vector<float> logits;  // [prompt rows so far, vocab], when return_logits

  int64_t cached() const { return pages.tokens(); }
  bool in_prompt() const { return cached() < prompt_tokens; }
  int64_t made() const { return static_cast<int64_t>(tokens.size()) - prompt_tokens; }
  // Tokens that the request may come to have.
  int64_t longest() const { return prompt_tokens + max_new_tokens; }
};

}  // namespace bolide
