#include "layers/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bolide {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

// 1 / theta^(2i / dims).
std::vector<float> plain(double theta, int64_t dims) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dims; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(dims);
    frequencies.push_back(1.0f / std::pow(static_cast<float>(theta), exponent));
  }
  return frequencies;
}

// Between slow turns, which are stretched, and fast ones, which are not, a ramp.
std::vector<float> yarn(const RopeParameters& rope, int64_t dims) {
  const auto positions = static_cast<double>(rope.original_max_position_embeddings);
  const auto dim_of = [&](double turns) {  // of the pair that turns so often within the trained length
    return static_cast<double>(dims) * std::log(positions / (turns * kTurn)) /
           (2 * std::log(rope.rope_theta));
  };
  double low = dim_of(rope.beta_fast), high = dim_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dims - 1));
  if (low == high) high += 0.001;
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dims / 2; ++i) {
    const float period =
        std::pow(static_cast<float>(rope.rope_theta), static_cast<float>(2 * i) / static_cast<float>(dims));
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float kept = 1 - ramp;
    frequencies.push_back(1.0f / (static_cast<float>(rope.factor) * period) * (1 - kept) +
                          1.0f / period * kept);
  }
  return frequencies;
}

// Slow turns are stretched, fast ones are not, and between them is a ramp over wavelengths.
float llama3(const RopeParameters& rope, float frequency) {
  const auto positions = static_cast<float>(rope.original_max_position_embeddings);
  const auto low = static_cast<float>(rope.low_freq_factor), high = static_cast<float>(rope.high_freq_factor);
  const auto factor = static_cast<float>(rope.factor);
  const float wavelength = static_cast<float>(kTurn) / frequency;
  if (wavelength > positions / low) return frequency / factor;
  if (wavelength < positions / high) return frequency;
  const float smooth = (positions / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

namespace {

// 1 / (factor * theta^(2i / dims)), each rounded to fp32 as Hugging Face has it.
std::vector<float> longrope(const RopeParameters& rope, const std::vector<double>& factors, int64_t dims) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dims / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dims);
    const float period = std::pow(static_cast<float>(rope.rope_theta), exponent);
    frequencies.push_back(1.0f / (static_cast<float>(factors[static_cast<size_t>(i)]) * period));
  }
  return frequencies;
}

}  // namespace

std::vector<float> rope_frequencies(const RopeParameters& rope, int64_t dims) {
  if (rope.rope_type == RopeType::kYarn) return yarn(rope, dims);
  if (rope.rope_type == RopeType::kLongRope) return longrope(rope, rope.short_factor, dims);
  std::vector<float> frequencies = plain(rope.rope_theta, dims);
  for (float& frequency : frequencies) {
    if (rope.rope_type == RopeType::kLinear) frequency /= static_cast<float>(rope.factor);
    if (rope.rope_type == RopeType::kLlama3) frequency = llama3(rope, frequency);
  }
  return frequencies;
}

std::vector<float> rope_long_frequencies(const RopeParameters& rope, int64_t dims) {
  if (rope.rope_type != RopeType::kLongRope) return {};
  return longrope(rope, rope.long_factor, dims);
}

RotaryGrowth rope_growth(const RopeParameters& rope) {
  if (rope.rope_type == RopeType::kLongRope) return {.trained = rope.original_max_position_embeddings};
  if (rope.rope_type != RopeType::kDynamic) return {};
  return {.trained = rope.original_max_position_embeddings, .theta = rope.rope_theta, .factor = rope.factor};
}

float rope_attention_factor(const RopeParameters& rope) {
  if (rope.rope_type != RopeType::kYarn && rope.rope_type != RopeType::kLongRope) return 1;
  if (rope.attention_factor > 0) return static_cast<float>(rope.attention_factor);
  if (rope.rope_type == RopeType::kLongRope) {
    if (rope.factor <= 1) return 1;
    const auto trained = static_cast<double>(rope.original_max_position_embeddings);
    return static_cast<float>(std::sqrt(1 + std::log(rope.factor) / std::log(trained)));
  }
  const auto scale = [&](double mscale) {
    return rope.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1;
  };
  const bool both = rope.mscale != 0 && rope.mscale_all_dim != 0;
  return static_cast<float>(both ? scale(rope.mscale) / scale(rope.mscale_all_dim) : scale(1));
}

void Rotary::prepare(const Context& context) {
  if (dims_ == 0) return;
  const auto bring = [&](const std::vector<float>& values) {
    return values.empty() ? Tensor() : tensor_of(context, values);
  };
  frequencies_ = bring(rope_frequencies(rope_, dims_));
  long_frequencies_ = bring(rope_long_frequencies(rope_, dims_));
}

RotaryAngles Rotary::angles(const Context& context, const BatchView& batch) const {
  if (dims_ == 0) return {};
  const Shape shape = {batch.tokens(), dims_ / 2};
  RotaryAngles angles{.cos = context.arena->take(shape, DType::kF32),
                      .sin = context.arena->take(shape, DType::kF32),
                      .interleaved = interleaved_};
  rotary_angles(context, {.positions = batch.positions,
                          .frequencies = frequencies_,
                          .scale = rope_attention_factor(rope_),
                          .growth = rope_growth(rope_),
                          .query_offsets = batch.query_offsets,
                          .prompt_lengths = batch.prompt_lengths,
                          .long_frequencies = long_frequencies_,
                          .cos = angles.cos,
                          .sin = angles.sin});
  return angles;
}

}  // namespace bolide
