#include "ops/sample.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "ops/cpu/parallel.h"

namespace bolide::cpu {
namespace {
float draw(const SampleRow& row) {
  return to_unit_float(philox4x32(
      row.seed, {static_cast<uint32_t>(row.position), static_cast<uint32_t>(row.position >> 32),
                 static_cast<uint32_t>(row.request), static_cast<uint32_t>(row.request >> 32)})[0]);
}

int32_t pick(const float* logits, int64_t vocab, const SampleRow& row, float max) {
  std::vector<int32_t> order(static_cast<size_t>(vocab));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (row.top_k > 0 && row.top_k < vocab) order.resize(static_cast<size_t>(row.top_k));
  const auto weight = [&](int32_t id) {
    return std::exp((static_cast<double>(logits[id]) - max) / row.temperature);
  };
  double total = 0;
  for (int32_t id : order) total += weight(id);
  if (row.top_p > 0 && row.top_p < 1) {
    double kept = 0;
    size_t count = 0;
    while (count < order.size() && kept < row.top_p * total) kept += weight(order[count++]);
    order.resize(count);
    total = kept;
  }
  std::sort(order.begin(), order.end());
  double left = draw(row) * total;
  for (int32_t id : order) {
    left -= weight(id);
    if (left < 0) return id;
  }
  return order.back();
}
}  // namespace

void sample(const Context& context, const SampleArgs& args) {
  const int64_t vocab = args.logits.shape[1];
  parallel_ranges(context, static_cast<int64_t>(args.rows.size()), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* logits = args.logits.as<float>() + r * args.logits.row_stride;
      const SampleRow& row = args.rows[r];
      int32_t best = 0;
      for (int64_t i = 0; i < vocab && best >= 0; ++i) {
        if (std::isnan(logits[i])) {
          best = kNanRow;
        } else if (logits[i] > logits[best]) {
          best = static_cast<int32_t>(i);
        }
      }
      args.ids[r] = best;
      if (best < 0) continue;
      const float max = logits[best];
      if ((row.top_k > 0 || row.top_p > 0) && std::isfinite(max)) args.ids[r] = pick(logits, vocab, row, max);
      if (args.log_probs.empty()) continue;
      double total = 0;
      for (int64_t i = 0; i < vocab; ++i)
        total += std::exp((static_cast<double>(logits[i]) - max) / row.temperature);
      args.log_probs[r] = static_cast<float>(
          (static_cast<double>(logits[args.ids[r]]) - max) / row.temperature - std::log(total));
    }
  });
}

}  // namespace bolide::cpu
