#include "ops/rotary.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void rotary(const Context& context, const RotaryArgs& args) {
  const int64_t pairs = args.cos.shape[1], width = args.x.shape[1];
  // One of a pair is `step` behind the other, pairs are `stride` apart.
  const int64_t stride = args.interleaved ? 2 : 1, step = args.interleaved ? 1 : pairs;
  const Context chosen = for_light_work(context, args.x.shape.count());
  parallel_ranges(chosen, args.x.shape[0], [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* cos = args.cos.as<float>() + t * args.cos.row_stride;
      const float* sin = args.sin.as<float>() + t * args.sin.row_stride;
      float* row = args.x.as<float>() + t * args.x.row_stride;
      for (float* head = row; head < row + width; head += args.head_size) {
        for (int64_t i = 0; i < pairs; ++i) {
          float &a = head[i * stride], &b = head[i * stride + step];
          const float x = a, y = b;
          a = x * cos[i] - y * sin[i];
          b = y * cos[i] + x * sin[i];
        }
      }
    }
  });
}

namespace {

// The frequencies of a text of so many tokens.
std::vector<float> grown_frequencies(const RotaryGrowth& growth, int64_t pairs, int64_t length) {
  const auto dims = static_cast<double>(2 * pairs);
  const double longer =
      growth.factor * static_cast<double>(length) / static_cast<double>(growth.trained) - (growth.factor - 1);
  const auto base = static_cast<float>(growth.theta * std::pow(longer, dims / (dims - 2)));
  std::vector<float> frequencies;
  for (int64_t i = 0; i < pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * pairs);
    frequencies.push_back(1.0f / std::pow(base, exponent));
  }
  return frequencies;
}

}  // namespace

void rotary_angles(const Context& context, const RotaryAnglesArgs& args) {
  const int64_t pairs = args.cos.shape[1];
  const RotaryGrowth& growth = args.growth;
  const Context chosen =
      for_light_work(context, 20 * args.cos.shape.count());  // a sine takes as long as 20 sums
  parallel_ranges(chosen, args.cos.shape[0], [&](int64_t begin, int64_t end) {
    const float* frequencies = args.frequencies.as<float>();
    std::vector<float> grown;
    int64_t grown_for = 0;
    size_t s = 0;
    for (int64_t t = begin; t < end; ++t) {
      const int32_t position = args.positions[static_cast<size_t>(t)];
      if (growth.trained > 0) {
        while (args.query_offsets[s + 1] <= t) ++s;
        const int64_t length = std::max(args.prompt_lengths[s], position + 1);
        const bool longer = length > growth.trained;
        const View& given = args.long_frequencies;
        if (longer && given.empty() && length != grown_for) {
          grown = grown_frequencies(growth, pairs, length);
          grown_for = length;
        }
        frequencies = !longer         ? args.frequencies.as<float>()
                      : given.empty() ? grown.data()
                                      : given.as<float>();
      }
      float* cos = args.cos.as<float>() + t * args.cos.row_stride;
      float* sin = args.sin.as<float>() + t * args.sin.row_stride;
      for (int64_t i = 0; i < pairs; ++i) {
        const float angle = static_cast<float>(position) * frequencies[i];
        cos[i] = std::cos(angle) * args.scale;
        sin[i] = std::sin(angle) * args.scale;
      }
    }
  });
}

}  // namespace bolide::cpu
