#pragma once

#include <list>
#include <vector>

#include "sched/policy.h"
#include "tensor/device.h"

namespace bolide {

// How long a stage of a pipeline computes, step by step. Nothing here waits for the device: a step's time is
// there once the device has come to its end. One thread at a time.
class StageClock {
 public:
  StageClock(Device device, int stage) : device_(device), stage_(stage) {}

  // Around the work of a step, on context.stream and outside of graphs. A start() without a stop() is
  // forgotten.
  void start(const Context& context) {
    if (idle_.empty()) idle_.emplace_back(device_);
    idle_.front().start.record(context);
  }
  void stop(const Context& context, int64_t tokens) {
    idle_.front().stop.record(context);
    idle_.front().tokens = tokens;
    running_.splice(running_.end(), idle_, idle_.begin());
  }
  // Appends the steps that have ended since the last call, in their order. Throws kInternal when the device
  // failed in one.
  void take(std::vector<StageSample>& samples) {
    while (!running_.empty()) {
      const Lap& lap = running_.front();
      const std::optional<double> seconds = lap.stop.since(lap.start);
      if (!seconds) return;
      samples.push_back({.stage = stage_, .tokens = lap.tokens, .seconds = *seconds});
      idle_.splice(idle_.end(), running_, running_.begin());
    }
  }

 private:
  struct Lap {
    explicit Lap(Device device) : start(device), stop(device) {}
    Timestamp start, stop;
    int64_t tokens = 0;
  };
  Device device_;
  int stage_;
  std::list<Lap> running_, idle_;
};

}  // namespace bolide
