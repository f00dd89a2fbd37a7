#pragma once

#include "sched/step_plan.h"
#include "tensor/device.h"

namespace bolide {

// A plan's counts rounded up to those of a captured step. Each sequence beyond the plan's brings one token,
// the last of them all that are left; they go to the spare page, and nobody reads what comes of them.
struct Padding {
  int64_t sequences = 0, tokens = 0, draws = 0;
  int64_t max_pages = 0, max_query = 0, max_kv_length = 0;
  int32_t spare_page = 0;
  int64_t spare_slot = 0;
};

// A plan's arrays where the ops read them: in place on the CPU, in one copy on a GPU. The same counts always
// give the same device addresses while generation() stays, so that a captured step can be launched again.
class StepInput {
 public:
  // `limit` as Event has it.
  StepInput(Device device, std::optional<std::chrono::duration<double>> limit);

  struct Arrays {
    BatchView batch;  // without previous_ids
    std::span<const SampleRow> sample_rows;
  };
  // Valid until the second next call. `padding` is for a plan whose wanted rows are all drawn from, and no
  // more; null takes the plan as it is.
  Arrays upload(const Context& context, const StepPlan& plan, const Padding* padding);
  uint64_t generation() const { return generation_; }

 private:
  // Host copies take turns: the last one may still be on its way while the next is written.
  struct Turn {
    Turn(Device device, std::optional<std::chrono::duration<double>> limit) : sent(device, limit) {}
    std::shared_ptr<std::byte> host;
    Event sent;
  };
  void grow(size_t bytes);

  Device device_;
  Turn turns_[2];
  std::shared_ptr<std::byte> memory_;  // on the device
  size_t capacity_ = 0;
  int turn_ = 0;
  uint64_t generation_ = 0;
};

}  // namespace bolide
