#pragma once

#include <optional>

#include "comm/message.h"
#include "comm/process_group.h"
#include "sched/step_plan.h"
#include "worker/step_result.h"

namespace bolide {

// What the ranks of a run tell each other in a step. Rank 0 plans, and tells everybody the plan; the rows of
// the residual stream go from stage to stage; what the last stage made goes back to rank 0. For one rank
// alone each call does nothing. One thread at a time. Errors as in Transport, and final.
class Pipeline {
 public:
  explicit Pipeline(ProcessGroup& ranks) : ranks_(ranks) {}

  // Rank 0. A step, before it runs it itself; that it still lives, though it has nothing to do; that it ends.
  void announce(const StepPlan& plan);
  void keep_alive();
  void stop();
  // Any rank: it ends, and why. The others' next call throws.
  void abort(const std::string& reason) noexcept;
  // How often rank 0 must be heard of; none for one rank alone.
  std::optional<std::chrono::duration<double>> heartbeat() const;
  // Every other rank: the next step, or null once rank 0 has stopped. Valid until the next call.
  const StepPlan* next();

  // Around this stage's layers: rows [tokens, hidden] from the stage before and to the one behind.
  void receive_hidden(const Context& context, const View& hidden);
  void send_hidden(const Context& context, const View& hidden);

  // Rank 0 of each stage but the first to rank 0, in the order of the steps: how long the stage computed, as
  // far as it is known; and of the last stage ids, log-probabilities, faults, and the logits that the plan's
  // requests have collected.
  void send_result(const StepResult& result);
  void receive_result(StepResult& result);

 private:
  enum class MessageKind : uint8_t { kStep, kAlive, kStop };
  void begin(MessageKind kind);
  void tell_all();

  ProcessGroup& ranks_;
  int64_t step_ = 0, results_ = 0;
  MessageWriter message_;
  // Of a rank that follows.
  StepPlan plan_;
  std::vector<RequestState> states_;
};

}  // namespace bolide
