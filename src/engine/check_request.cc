#include "engine/check_request.h"

#include "base/error.h"
#include "decode/sampling.h"
#include "ops/limits.h"

namespace bolide {
namespace {

std::vector<int32_t> prompt_ids(const Request& request, const Tokenizer* tokenizer) {
  if (request.prompt.empty()) return request.input_ids;
  if (!request.input_ids.empty())
    fail(ErrorCode::kUsage, "a request has both a prompt and input_ids: give one of them");
  if (!tokenizer) {
    fail(ErrorCode::kUsage,
         "a text prompt needs a tokenizer, and the model's folder has none: give input_ids, or the folder of "
         "a tokenizer (--tokenizer-path)");
  }
  return tokenizer->encode(request.prompt).ids;
}

void check_length(const Request& request, int64_t prompt, int64_t max_positions,
                  const SchedulerConfig& scheduler) {
  if (request.max_new_tokens < 0)
    fail(ErrorCode::kUsage, "max_new_tokens is {}: it must be 0 or more", request.max_new_tokens);
  if (request.max_new_tokens == 0 && !request.return_logits)
    fail(ErrorCode::kUsage,
         "max_new_tokens is 0: it must be at least 1, unless logits alone are wanted (return_logits)");
  const int64_t total = prompt + request.max_new_tokens;
  if (max_positions > 0 && total > max_positions) {
    fail(ErrorCode::kUsage,
         "a prompt of {} tokens and {} new ones exceed the {} positions of the model: shorten one of them",
         prompt, request.max_new_tokens, max_positions);
  }
  if (scheduler.pages_of(total, prompt) > scheduler.pages) {
    fail(ErrorCode::kUsage,
         "a prompt of {} tokens and {} new ones exceed the cache of {} tokens: shorten one of them, or raise "
         "max_kv_tokens",
         prompt, request.max_new_tokens, scheduler.pages * scheduler.page_size);
  }
  if (total > kMaxSequenceTokens) {
    fail(ErrorCode::kUsage, "a prompt of {} tokens and {} new ones exceed the {} that a text can have",
         prompt, request.max_new_tokens, kMaxSequenceTokens);
  }
}

}  // namespace

std::vector<int32_t> check_request(const Request& request, const ModelShape& model,
                                   const Tokenizer* tokenizer, const SchedulerConfig& scheduler) {
  check_sampling(request.sampling);
  for (const int32_t id : request.end_ids.value_or(std::vector<int32_t>())) {
    if (id < 0 || id >= model.vocab_size)
      fail(ErrorCode::kUsage, "end id {} is outside the vocabulary of {} ids", id, model.vocab_size);
  }
  if (!request.stop.empty() && !tokenizer)
    fail(ErrorCode::kUsage, "stop strings need a tokenizer, and the model has none");
  for (const std::string& stop : request.stop) {
    if (stop.empty()) fail(ErrorCode::kUsage, "a stop string is empty: it would end every text at once");
  }
  std::vector<int32_t> ids = prompt_ids(request, tokenizer);
  if (ids.empty()) fail(ErrorCode::kUsage, "the prompt is empty: give at least one token");
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= model.vocab_size) {
      fail(ErrorCode::kUsage, "token id {} (number {} of the prompt) is outside the vocabulary of {} ids",
           ids[i], i, model.vocab_size);
    }
  }
  check_length(request, static_cast<int64_t>(ids.size()), model.max_positions, scheduler);
  return ids;
}

}  // namespace bolide
