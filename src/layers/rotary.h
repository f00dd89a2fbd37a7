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

// The angle that each of dims / 2 pairs turns by from one position to the next, for a text of so many tokens.
// In fp32 as Hugging Face computes it: at position 10,000 its last bit is 6e-4 radian.
std::vector<float> rope_frequencies(const RopeParameters& rope, int64_t dims, int64_t length);
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

  // In the context's arena. A token of the prompt turns by what holds for the prompt's length, also where
  // the prompt comes in chunks; a later one by what holds for the length at its own step.
  RotaryAngles angles(const Context& context, const BatchView& batch) const;

 private:
  int64_t dims_ = 0;
  RopeParameters rope_;
  std::vector<float> frequencies_;  // of a text as long as the model was trained for, or shorter
  float attention_factor_ = 1;
};

}  // namespace bolide
