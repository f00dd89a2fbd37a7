#include "ops/embedding.h"

#include <algorithm>

#include "ops/cpu/parallel.h"

namespace bolide::cpu {

// A row lies in its panel as one element (bf16: one pair) a line, so this is bound by lines touched: the raw
// bits are collected first, then converted at once.
void embedding(const Context& context, const EmbeddingArgs& args) {
  const PackedMatrix& table = *args.table;
  dispatch_float(table.dtype, [&]<class T>() {
    const T* data = table.data.as<T>();
    constexpr int64_t kGroup = std::is_same_v<T, bf16> ? 2 : 1;
    constexpr int64_t kStep = PackedMatrix::kPanelRows * kGroup;
    parallel_ranges(context, static_cast<int64_t>(args.ids.size()), [&](int64_t begin, int64_t end) {
      constexpr int64_t kBlock = 512;
      T block[kBlock];
      float values[kBlock];
      for (int64_t t = begin; t < end; ++t) {
        float* y = args.y.as<float>() + t * args.y.row_stride;
        const int32_t id = args.ids[t];
        const int64_t row = (id < 0 ? args.previous_ids[-1 - id] : id) - args.vocab_begin;
        if (row < 0 || row >= table.rows) {
          if (!args.accumulate) std::fill(y, y + table.cols, 0.0f);
          continue;
        }
        for (int64_t k0 = 0; k0 < table.cols; k0 += kBlock) {
          const int64_t count = std::min(kBlock, table.cols - k0);
          const T* from = data + table.offset(row, k0);
          for (int64_t k = 0; k < count; ++k) block[k] = from[k / kGroup * kStep + k % kGroup];
          float* to = args.accumulate ? values : y + k0;
          convert_elements(block, table.dtype, to, DType::kF32, static_cast<size_t>(count));
          if (args.accumulate)
            for (int64_t k = 0; k < count; ++k) y[k0 + k] += values[k];
        }
      }
    });
  });
}

}  // namespace bolide::cpu
