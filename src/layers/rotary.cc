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

// "dynamic" grows with the text once that is longer than what the model was trained for.
double dynamic_theta(const RopeParameters& rope, int64_t dims, int64_t length) {
  const auto trained = static_cast<double>(rope.original_max_position_embeddings);
  const double longer =
      rope.factor * std::max(static_cast<double>(length), trained) / trained - (rope.factor - 1);
  return rope.rope_theta * std::pow(longer, static_cast<double>(dims) / static_cast<double>(dims - 2));
}

}  // namespace

std::vector<float> rope_frequencies(const RopeParameters& rope, int64_t dims, int64_t length) {
  if (rope.rope_type == RopeType::kDynamic) return plain(dynamic_theta(rope, dims, length), dims);
  if (rope.rope_type == RopeType::kYarn) return yarn(rope, dims);
  std::vector<float> frequencies = plain(rope.rope_theta, dims);
  for (float& frequency : frequencies) {
    if (rope.rope_type == RopeType::kLinear) frequency /= static_cast<float>(rope.factor);
    if (rope.rope_type == RopeType::kLlama3) frequency = llama3(rope, frequency);
  }
  return frequencies;
}

float rope_attention_factor(const RopeParameters& rope) {
  if (rope.rope_type != RopeType::kYarn) return 1;
  if (rope.attention_factor > 0) return static_cast<float>(rope.attention_factor);
  const auto scale = [&](double mscale) {
    return rope.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1;
  };
  const bool both = rope.mscale != 0 && rope.mscale_all_dim != 0;
  return static_cast<float>(both ? scale(rope.mscale) / scale(rope.mscale_all_dim) : scale(1));
}

Rotary::Rotary(int64_t dims, const RopeParameters& rope)
    : dims_(dims),
      rope_(rope),
      frequencies_(rope_frequencies(rope, dims, 1)),
      attention_factor_(rope_attention_factor(rope)) {}

RotaryAngles Rotary::angles(const Context& context, const BatchView& batch) const {
  if (dims_ == 0) return {};
  BOLIDE_CHECK(context.device == Device::kCpu, "rotary positions have no GPU kernel yet");
  const int64_t tokens = batch.tokens(), pairs = dims_ / 2;
  RotaryAngles angles{.cos = context.arena->take({tokens, pairs}, DType::kF32),
                      .sin = context.arena->take({tokens, pairs}, DType::kF32)};
  const bool dynamic = rope_.rope_type == RopeType::kDynamic;
  int64_t length = 1;  // that `frequencies` are for
  std::vector<float> grown;
  const std::vector<float>* frequencies = &frequencies_;
  for (int64_t s = 0; s < batch.sequences(); ++s) {
    for (int32_t t = batch.query_offsets[s]; t < batch.query_offsets[s + 1]; ++t) {
      const int64_t position = batch.positions[t];
      const int64_t now = dynamic ? std::max<int64_t>(batch.prompt_lengths[s], position + 1) : length;
      if (now != length) {
        grown = rope_frequencies(rope_, dims_, now);
        frequencies = &grown;
        length = now;
      }
      float* cos = angles.cos.as<float>() + t * pairs;
      float* sin = angles.sin.as<float>() + t * pairs;
      for (int64_t i = 0; i < pairs; ++i) {
        const float angle = static_cast<float>(position) * (*frequencies)[static_cast<size_t>(i)];
        cos[i] = std::cos(angle) * attention_factor_;
        sin[i] = std::sin(angle) * attention_factor_;
      }
    }
  }
  return angles;
}

}  // namespace bolide
