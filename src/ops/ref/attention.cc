#include <algorithm>
#include <cmath>

#include "ops/ref/element.h"
#include "ops/ref/parallel.h"
#include "ops/ref/ref.h"

namespace bolide::ref {
namespace {

// By what the kinds mean, not by the functors that the kernels share.
bool sees(const AttentionMask& mask, int64_t sequence, int64_t query, int64_t key) {
  if (mask.window > 0 && std::abs(query - key) >= mask.window) return false;
  switch (mask.kind) {
    case MaskKind::kCausal:
      return key <= query;
    case MaskKind::kFull:
      return true;
    case MaskKind::kPrefix:
      return key <= query || key < mask.prefix_lengths[static_cast<size_t>(sequence)];
  }
  return false;
}

double bias(const PositionBias& position, int64_t head, int64_t distance) {
  if (!position.alibi_slopes.empty())
    return element(position.alibi_slopes, head, 0) * static_cast<double>(distance);
  if (position.relative.empty()) return 0;
  const int64_t far = position.relative.shape[1] / 2;
  return element(position.relative, head, far + std::clamp(distance, -far, far));
}

}  // namespace

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
    const int64_t length = args.kv_lengths[s], place = length - (args.query_offsets[s + 1] - t);
    for (int64_t h = 0; h < args.heads; ++h) {
      const double* query = q.data() + (t * args.heads + h) * size;
      double* out = y.data() + (t * args.heads + h) * size;
      const auto offset = [&](int64_t j) {
        const int64_t head = h / (args.heads / kv_heads);
        return ((kv.page_table[s * kv.max_pages + j / page] * kv_heads + head) * page + j % page) * size;
      };
      std::vector<int64_t> keys_seen;
      std::vector<double> weight;
      for (int64_t j = 0; j < length; ++j) {
        if (!sees(args.mask, s, place, j)) continue;
        double score = args.scale * dot(query, keys.data() + offset(j), static_cast<size_t>(size)) +
                       bias(args.position, h, j - place);
        if (args.soft_cap > 0) score = args.soft_cap * std::tanh(score / args.soft_cap);
        keys_seen.push_back(j);
        weight.push_back(score);
      }
      const double max = *std::max_element(weight.begin(), weight.end());
      double total = 0;
      for (double& w : weight) total += w = std::exp(w - max);
      for (size_t n = 0; n < weight.size(); ++n) {
        const double share = weight[n] / total;
        const double* value = values.data() + offset(keys_seen[n]);
        for (int64_t i = 0; i < size; ++i) out[i] += share * value[i];
      }
    }
  };
  for (int64_t s = 0; s < static_cast<int64_t>(args.kv_lengths.size()); ++s) {
    const int64_t begin = args.query_offsets[s], count = args.query_offsets[s + 1] - begin;
    for_each(count, count * args.kv_lengths[s] * args.heads * size, [&](int64_t i) { attend(s, begin + i); });
  }
  return y;
}

}  // namespace bolide::ref
