#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bolide/sampling.h"

namespace bolide {

enum class FinishReason : uint8_t {
  kLength,      ///< max_new_tokens were made
  kEndId,       ///< an end id came (it is not part of output_ids)
  kStopString,  ///< a stop string came (text ends before it; output_ids hold all that was made)
  kCancelled,   ///< Engine::cancel, or the streaming callback returned false
};
/// "length", "end_id", "stop", "cancelled"
std::string_view name_of(FinishReason reason);

/// A new token on its way to the caller, from the engine's thread.
struct StreamEvent {
  uint64_t request = 0;  ///< as returned by submit
  int32_t id = 0;        ///< -1: no new id, only text that had been held back when the end id came
  std::string text;      ///< text that became certain; never half a character; empty without a tokenizer
};

/// One sequence to continue. Give `prompt` (needs a tokenizer) or `input_ids`, not both.
struct Request {
  std::string prompt;
  std::vector<int32_t> input_ids;
  int32_t max_new_tokens = 32;  ///< 0 is allowed with return_logits
  SamplingParams sampling;
  /// Tells requests of one seed apart for the sampler. Without it (0) the same prompt, seed and parameters
  /// give the same ids.
  std::optional<uint64_t> tag;
  /// Any of these ids ends the request. Default: the model's; an empty list: never stop on an id.
  std::optional<std::vector<int32_t>> end_ids;
  std::vector<std::string> stop;  ///< stop strings (need a tokenizer); the text is cut before the match
  bool return_logits = false;     ///< Result::logits gets every prompt row
  bool return_log_probs = false;
  std::function<bool(const StreamEvent&)>
      on_token;  ///< return false to cancel; must not call back into the Engine's wait
};

struct Result {
  uint64_t request = 0;
  std::vector<int32_t> output_ids;  ///< new ids only, without the end id
  std::string text;  ///< decoded output_ids, cut before a stop string; empty without a tokenizer
  FinishReason finish_reason = FinishReason::kLength;
  int64_t prompt_tokens = 0;
  std::vector<float> log_probs;  ///< per output id, when asked for
  std::vector<float> logits;     ///< [prompt_tokens, vocab] fp32, when asked for
};

}  // namespace bolide
