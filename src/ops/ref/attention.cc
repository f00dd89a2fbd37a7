#include <algorithm>
#include <cmath>

#include "ops/ref/element.h"
#include "ops/ref/ref.h"

namespace bolide::ref {

std::vector<double> attention(const AttentionArgs& args) {
  const PagedKv& kv = args.kv;
  const int64_t size = kv.k.shape[3], page = kv.page_size();
  std::vector<double> y;
  for (int64_t s = 0; s < static_cast<int64_t>(args.kv_lengths.size()); ++s) {
    const int64_t begin = args.query_offsets[s], end = args.query_offsets[s + 1];
    for (int64_t t = begin; t < end; ++t) {
      const int64_t seen = args.kv_lengths[s] - (end - 1 - t);
      for (int64_t h = 0; h < args.heads; ++h) {
        const double slope = args.alibi_slopes.empty() ? 0 : element(args.alibi_slopes, h, 0);
        const auto offset = [&](int64_t j) {
          const int64_t head = h / (args.heads / kv.kv_heads());
          return ((kv.page_table[s * kv.max_pages + j / page] * kv.kv_heads() + head) * page + j % page) *
                 size;
        };
        std::vector<double> weight;
        for (int64_t j = 0; j < seen; ++j) {
          double score = 0;
          for (int64_t i = 0; i < size; ++i)
            score += element(args.q, t, h * size + i) * element(kv.k.data, kv.k.dtype, offset(j) + i);
          weight.push_back(args.scale * score + slope * static_cast<double>(j));
        }
        const double max = *std::max_element(weight.begin(), weight.end());
        double total = 0;
        for (double& w : weight) total += w = std::exp(w - max);
        for (int64_t i = 0; i < size; ++i) {
          double sum = 0;
          for (int64_t j = 0; j < seen; ++j)
            sum += weight[static_cast<size_t>(j)] / total * element(kv.v.data, kv.v.dtype, offset(j) + i);
          y.push_back(sum);
        }
      }
    }
  }
  return y;
}

}  // namespace bolide::ref
