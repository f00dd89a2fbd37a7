#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bolide/engine.h"

namespace bolide::apps {

// One generation of `batch` sequences that start together, with made-up prompts and no end id.
struct RunTimes {
  double wall_seconds = 0;             ///< from all requests queued to the last result
  double prefill_seconds = 0;          ///< the steps that took prompt tokens in
  std::vector<double> decode_seconds;  ///< each step in which all sequences got one more token
};

// Times generations on one engine. Not thread-safe; the engine must be otherwise idle and its step observer
// free.
class BenchRunner {
 public:
  explicit BenchRunner(Engine& engine);
  ~BenchRunner();
  RunTimes run(int64_t batch, int64_t input_len, int64_t output_len);

 private:
  struct Recorder;
  Engine& engine_;
  std::shared_ptr<Recorder> recorder_;  // shared with the observer, which lives as long as the engine
};

// What a roof is computed from: the least work that the shape of a model asks for.
struct Work {
  double bytes = 0, flops = 0;
};
// All matrices once (the embedding table as the head, not as a lookup), keys and values written; the head for
// the last token of a sequence only; attention counted causal.
Work prefill_work(const ModelInfo& info, int64_t batch, int64_t input_len);
// One step in the middle of the output: all matrices once, keys and values read.
Work decode_work(const ModelInfo& info, int64_t batch, int64_t input_len, int64_t output_len);

double median(std::vector<double> values);  // 0 for none

}  // namespace bolide::apps
