#pragma once

#include <vector>

#include "cache/batch.h"
#include "ops/rotary.h"

namespace bolide {

// Hugging Face's kinds of rotary positions, "rope_type".
enum class RopeType : uint8_t { kDefault, kLinear, kDynamic, kYarn, kLlama3, kLongRope };

// Its rope_parameters, under their names.
struct RopeParameters {
  RopeType rope_type = RopeType::kDefault;
  double rope_theta = 10000;
  double factor = 1;
  double partial_rotary_factor = 1;  // of a head's elements that turn, the first ones
  // What the model was trained for, before it was stretched; of "dynamic" its max_position_embeddings.
  int64_t original_max_position_embeddings = 0;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn and longrope; 0: follows from the others
  double mscale = 0, mscale_all_dim = 0;
  bool truncate = true;
  std::vector<double> short_factor = {}, long_factor = {};  // longrope, by pair
};

// The angle that each of dims / 2 pairs turns by from one position to the next; of "dynamic" in a text no
// longer than what the model was trained for. In fp32 as Hugging Face computes it.
std::vector<float> rope_frequencies(const RopeParameters& rope, int64_t dims);
// What takes their place in texts longer than what the model was trained for: of longrope, else empty.
std::vector<float> rope_long_frequencies(const RopeParameters& rope, int64_t dims);
// How "dynamic" and longrope go on from there; of other kinds nothing.
RotaryGrowth rope_growth(const RopeParameters& rope);
// What cos and sin are multiplied by.
float rope_attention_factor(const RopeParameters& rope);

// Of each token of a step, for all layers; empty: no rotary positions.
struct RotaryAngles {
  View cos, sin;  // [T, dims / 2] fp32
  bool interleaved = false;
};

// Rotary positions of the first `dims` of each head; 0: none.
class Rotary {
 public:
  Rotary() = default;
  Rotary(int64_t dims, const RopeParameters& rope, bool interleaved = false)
      : dims_(dims), rope_(rope), interleaved_(interleaved) {}
  int64_t dims() const { return dims_; }
  const RopeParameters& parameters() const { return rope_; }

  // Brings the frequencies to the context's device. Once, before the first angles().
  void prepare(const Context& context);
  // In the context's arena.
  RotaryAngles angles(const Context& context, const BatchView& batch) const;

 private:
  int64_t dims_ = 0;
  RopeParameters rope_;
  bool interleaved_ = false;               // pairs, as in ops/rotary.h
  Tensor frequencies_, long_frequencies_;  // [dims / 2], the second may be empty
};

}  // namespace bolide
