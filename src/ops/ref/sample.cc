#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "ops/ref/ref.h"

namespace bolide::ref {

Drawn sample(const float* logits, int64_t vocab, const SampleRow& row) {
  std::vector<int32_t> kept(static_cast<size_t>(vocab));
  std::iota(kept.begin(), kept.end(), 0);
  std::stable_sort(kept.begin(), kept.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  const double max = logits[kept[0]];
  const auto weight = [&](int32_t id) { return std::exp((logits[id] - max) / row.temperature); };
  const auto mass = [&] {
    return std::accumulate(kept.begin(), kept.end(), 0.0,
                           [&](double sum, int32_t id) { return sum + weight(id); });
  };
  const double all = mass();
  Drawn drawn;
  drawn.id = drawn.other = kept[0];
  drawn.margin = 1;
  if (row.top_k > 0 || row.top_p > 0) {
    if (row.top_k > 0 && row.top_k < vocab) kept.resize(static_cast<size_t>(row.top_k));
    if (row.top_p > 0 && row.top_p < 1) {
      const double wanted = row.top_p * mass();
      double sum = 0;
      size_t count = 0;
      while (count < kept.size() && sum < wanted) sum += weight(kept[count++]);
      kept.resize(count);
    }
    // One uniform number walks the kept ids in ascending order.
    std::sort(kept.begin(), kept.end());
    const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
    const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
    const double u = to_unit_float(philox4x32(
        row.seed, {low(row.position), high(row.position), low(row.request), high(row.request)})[0]);
    const double total = mass();
    double sum = 0;
    for (size_t i = 0; i < kept.size(); ++i) {
      const double before = sum;
      sum += weight(kept[i]);
      if (sum <= u * total && i + 1 < kept.size()) continue;
      const double under = u - before / total, over = sum / total - u;
      drawn.id = kept[i];
      drawn.margin = std::min(i > 0 ? under : 1.0, i + 1 < kept.size() ? over : 1.0);
      drawn.other = under < over && i > 0 ? kept[i - 1] : kept[std::min(i + 1, kept.size() - 1)];
      break;
    }
  }
  drawn.log_prob = (logits[drawn.id] - max) / row.temperature - std::log(all);
  return drawn;
}

}  // namespace bolide::ref
