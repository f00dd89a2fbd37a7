#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/ref/ref.h"

namespace bolide::ref {

Candidates candidates(const float* logits, int64_t columns, const SampleRow& row) {
  Candidates found;
  found.max = -std::numeric_limits<double>::infinity();
  if (columns == 0) return found;
  if (std::any_of(logits, logits + columns, [](float x) { return std::isnan(x); })) {
    found.max = std::numeric_limits<double>::quiet_NaN();
    found.columns = {0};
    return found;
  }
  std::vector<int64_t> order(static_cast<size_t>(columns));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  found.max = logits[order[0]];
  const bool finite = std::isfinite(found.max);
  order.resize(static_cast<size_t>(finite ? std::min(columns, candidates_of(row)) : 1));
  std::sort(order.begin(), order.end());
  found.columns = order;
  for (int64_t i = 0; i < columns && finite; ++i)
    found.sum += std::exp((logits[i] - found.max) / row.temperature);
  return found;
}

}  // namespace bolide::ref
