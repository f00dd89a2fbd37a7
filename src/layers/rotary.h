#pragma once

#include <vector>

#include "cache/batch.h"
#include "ops/rotary.h"

namespace bolide {

// Hugging Face's kinds of rotary positions, "rope_type".
enum class RopeType : uint8_t { kDefault, kLinear, kDynamic, kYarn, kLlama3 };

// Its rope_parameters, under their names.
struct RopeParameters {
  RopeType rope_type = RopeType::kDefault;
  double rope_theta = 10000;
  double factor = 1;
  // What the model was trained for, before it was stretched; of "dynamic" its max_position_embeddings.
  int64_t original_max_position_embeddings = 0;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn; 0: follows from what comes next
  double mscale = 0, mscale_all_dim = 0;
  bool truncate = true;
};

// The angle that each of dims / 2 pairs turns by from one position to the next; of "dynamic" in a text no
// longer than what the model was trained for. In fp32 as Hugging Face computes it.
std::vector<float> rope_frequencies(const RopeParameters& rope, int64_t dims);
// How "dynamic" goes on from there; of other kinds nothing.
RotaryGrowth rope_growth(const RopeParameters& rope);
// What cos and sin are multiplied by.
float rope_attention_factor(const RopeParameters& rope);

// Of each token of a step, for all layers; empty: no rotary positions.
struct RotaryAngles {
  View cos, sin;  // [T, dims / 2] fp32
};

// Rotary positions of the first `dims` of each head; 0: none.
class Rotary {
 public:
  Rotary() = default;
  Rotary(int64_t dims, const RopeParameters& rope);

  // Brings the frequencies to the context's device. Once, before the first angles().
  void prepare(const Context& context);
  // In the context's arena.
  RotaryAngles angles(const Context& context, const BatchView& batch) const;

 private:
  int64_t dims_ = 0;
  RopeParameters rope_;
  Tensor frequencies_;  // [dims / 2]
};

}  // namespace bolide
