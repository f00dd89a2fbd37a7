#include <algorithm>
#include <cmath>

#include "ops/ref/element.h"
#include "ops/ref/parallel.h"
#include "ops/ref/ref.h"

namespace bolide::ref {

std::vector<double> attention(const AttentionArgs& args) {
  const PagedKv& kv = args.kv;
  const int64_t size = kv.k.shape[3], page = kv.page_size(), kv_heads = kv.kv_heads();
  const auto flat = [&](const View& pages) {
    return elements(View(pages.data, pages.dtype, {pages.shape[0] * kv_heads * page, size}, pages.device));
  };
  const std::vector<double> keys = flat(kv.k), values = flat(kv.v), q = elements(args.q);
  std::vector<double> y(q.size(), 0);
  // Row t of sequence s.
  const auto attend = [&](int64_t s, int64_t t) {
    const int64_t seen = args.kv_lengths[s] - (args.query_offsets[s + 1] - 1 - t);
    for (int64_t h = 0; h < args.heads; ++h) {
      const double slope = args.alibi_slopes.empty() ? 0 : element(args.alibi_slopes, h, 0);
      const double* query = q.data() + (t * args.heads + h) * size;
      double* out = y.data() + (t * args.heads + h) * size;
      const auto offset = [&](int64_t j) {
        const int64_t head = h / (args.heads / kv_heads);
        return ((kv.page_table[s * kv.max_pages + j / page] * kv_heads + head) * page + j % page) * size;
      };
      std::vector<double> weight;
      for (int64_t j = 0; j < seen; ++j) {
        double score = 0;
        for (int64_t i = 0; i < size; ++i) score += query[i] * keys[static_cast<size_t>(offset(j) + i)];
        weight.push_back(args.scale * score + slope * static_cast<double>(j));
      }
      const double max = *std::max_element(weight.begin(), weight.end());
      double total = 0;
      for (double& w : weight) total += w = std::exp(w - max);
      for (int64_t j = 0; j < seen; ++j)
        for (int64_t i = 0; i < size; ++i)
          out[i] += weight[static_cast<size_t>(j)] / total * values[static_cast<size_t>(offset(j) + i)];
    }
  };
  for (int64_t s = 0; s < static_cast<int64_t>(args.kv_lengths.size()); ++s) {
    const int64_t begin = args.query_offsets[s], count = args.query_offsets[s + 1] - begin;
    for_each(count, count * args.kv_lengths[s] * args.heads * size, [&](int64_t i) { attend(s, begin + i); });
  }
  return y;
}

}  // namespace bolide::ref
