#include "ops/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void kv_write(const Context& context, const KvWriteArgs& args) {
  const int64_t heads = args.k_pages.shape[1], page = args.k_pages.shape[2], size = args.k_pages.shape[3];
  dispatch_float(args.k_pages.dtype, [&]<class T>() {
    parallel_ranges(context, static_cast<int64_t>(args.slots.size()), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t to = ((args.slots[t] / page * heads + h) * page + args.slots[t] % page) * size;
          for (int64_t i = 0; i < size; ++i) {
            args.k_pages.as<T>()[to + i] =
                from_float<T>(args.k.as<float>()[t * args.k.row_stride + h * size + i]);
            args.v_pages.as<T>()[to + i] =
                from_float<T>(args.v.as<float>()[t * args.v.row_stride + h * size + i]);
          }
        }
      }
    });
  });
}

void attention(const Context& context, const AttentionArgs& args) {
  const PagedKv& kv = args.kv;
  const int64_t size = kv.k.shape[3], page = kv.page_size(), kv_heads = kv.kv_heads();
  const int64_t group = args.heads / kv_heads, tokens = args.q.shape[0];
  std::vector<int32_t> sequence_of(static_cast<size_t>(tokens));
  for (size_t s = 0; s < args.kv_lengths.size(); ++s)
    for (int32_t t = args.query_offsets[s]; t < args.query_offsets[s + 1]; ++t)
      sequence_of[static_cast<size_t>(t)] = static_cast<int32_t>(s);
  dispatch_float(kv.k.dtype, [&]<class T>() {
    parallel_ranges(context, tokens * args.heads, [&](int64_t begin, int64_t end) {
      std::vector<float> sum(static_cast<size_t>(size));
      for (int64_t item = begin; item < end; ++item) {
        const int64_t t = item / args.heads, h = item % args.heads;
        const int64_t s = sequence_of[static_cast<size_t>(t)];
        const int64_t length = args.kv_lengths[s] - (args.query_offsets[s + 1] - 1 - t);
        const float* q = args.q.as<float>() + t * args.q.row_stride + h * size;
        const float slope = args.alibi_slopes.empty() ? 0.0f : args.alibi_slopes.as<float>()[h];
        float max = -std::numeric_limits<float>::infinity(), total = 0;
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (int64_t j = 0; j < length; ++j) {
          const int64_t row =
              ((kv.page_table[s * kv.max_pages + j / page] * kv_heads + h / group) * page + j % page) * size;
          float score = 0;
          for (int64_t i = 0; i < size; ++i) score += q[i] * to_float(kv.k.as<T>()[row + i]);
          score = args.scale * score + slope * static_cast<float>(j - (length - 1));
          const float new_max = std::max(max, score), rescale = std::exp(max - new_max);
          const float weight = std::exp(score - new_max);
          total = total * rescale + weight;
          for (int64_t i = 0; i < size; ++i)
            sum[static_cast<size_t>(i)] =
                sum[static_cast<size_t>(i)] * rescale + weight * to_float(kv.v.as<T>()[row + i]);
          max = new_max;
        }
        float* y = args.y.as<float>() + t * args.y.row_stride + h * size;
        for (int64_t i = 0; i < size; ++i) y[i] = sum[static_cast<size_t>(i)] / total;
      }
    });
  });
}

}  // namespace bolide::cpu
