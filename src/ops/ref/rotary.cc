#include <algorithm>
#include <cmath>

#include "ops/ref/element.h"
#include "ops/ref/ref.h"

namespace bolide::ref {

std::vector<double> rotary(const RotaryArgs& args) {
  const int64_t pairs = args.cos.shape[1], width = args.x.shape[1];
  std::vector<double> y = elements(args.x);
  for (int64_t t = 0; t < args.x.shape[0]; ++t) {
    for (int64_t head = 0; head < width; head += args.head_size) {
      for (int64_t i = 0; i < pairs; ++i) {
        const int64_t a = head + (args.interleaved ? 2 * i : i),
                      b = head + (args.interleaved ? 2 * i + 1 : i + pairs);
        const double cos = element(args.cos, t, i), sin = element(args.sin, t, i);
        y[static_cast<size_t>(t * width + a)] = element(args.x, t, a) * cos - element(args.x, t, b) * sin;
        y[static_cast<size_t>(t * width + b)] = element(args.x, t, b) * cos + element(args.x, t, a) * sin;
      }
    }
  }
  return y;
}

std::vector<double> rotary_angles(const RotaryAnglesArgs& args) {
  const int64_t tokens = args.cos.shape[0], pairs = args.cos.shape[1];
  const RotaryGrowth& growth = args.growth;
  std::vector<double> angles;
  size_t s = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t position = args.positions[static_cast<size_t>(t)];
    for (int64_t i = 0; i < pairs; ++i) {
      float frequency = args.frequencies.as<float>()[i];
      if (growth.trained > 0) {
        while (args.query_offsets[s + 1] <= t) ++s;
        const auto length = static_cast<double>(std::max<int64_t>(args.prompt_lengths[s], position + 1));
        const auto trained = static_cast<double>(growth.trained), dims = static_cast<double>(2 * pairs);
        if (length > trained && !args.long_frequencies.empty()) {
          frequency = args.long_frequencies.as<float>()[i];
        } else if (length > trained) {
          const auto base = static_cast<float>(
              growth.theta *
              std::pow(growth.factor * length / trained - (growth.factor - 1), dims / (dims - 2)));
          const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * pairs);
          const double power = std::pow(static_cast<double>(base), static_cast<double>(exponent));
          frequency = 1.0f / static_cast<float>(power);
        }
      }
      angles.push_back(static_cast<double>(static_cast<float>(position) * frequency));
    }
  }
  return angles;
}

}  // namespace bolide::ref
