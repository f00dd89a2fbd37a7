#pragma once

#include <functional>

#include "cache/kv_cache.h"
#include "comm/dist.h"
#include "models/model.h"
#include "worker/step_input.h"
#include "worker/step_result.h"

namespace bolide {

// A pass of the model: what the kernels see, and what the host wants of it.
struct Pass {
  StepInput::Arrays input;
  bool every_row = false;          // the rows whose logits are wanted are all rows in their order
  std::span<const LogitUse> uses;  // empty: each wanted row is drawn from, and no more, see draws_only()
  std::span<RequestState* const> sequences;
  bool greedy = false, log_probs = false;
  int64_t candidates = 0;  // see decode/slices.h
  int64_t tokens = 0;      // of the plan, without padding
  // Of a bucket: what its kernels need is loaded on the way, so that its time says nothing about later ones.
  bool first = false;
  StepResult* result = nullptr;
};

// Where a pass leaves what it makes, and what it reads besides its input.
struct PassMemory {
  KvView cache;
  std::function<View(int64_t)> logits;  // of so many rows, logit_block at most: see Worker::logits()
  int64_t logit_block = 0;
  std::span<int32_t> draws;
  std::span<float> log_probs;
};

// The part of a rank's model in a pass over hidden [tokens, hidden]: embedding on the first stage, this
// rank's layers, and on the last stage logits and draws. Queued on the context's stream; or, by a context
// that counts, the same calls for the scratch memory that they take.
void forward(const Context& context, const Model& model, const Dist& dist, const PassMemory& memory,
             const Pass& pass, const View& hidden);

}  // namespace bolide
