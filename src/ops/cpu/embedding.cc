#include "ops/embedding.h"

#include <algorithm>

#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void embedding(const Context& context, const EmbeddingArgs& args) {
  const PackedMatrix& table = *args.table;
  parallel_ranges(context, static_cast<int64_t>(args.ids.size()), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* y = args.y.as<float>() + t * args.y.row_stride;
      const int32_t id = args.ids[t];
      const int64_t row = (id < 0 ? args.previous_ids[-1 - id] : id) - args.vocab_begin;
      if (row < 0 || row >= table.rows) {
        if (!args.accumulate) std::fill(y, y + table.cols, 0.0f);
        continue;
      }
      if (!args.accumulate) {
        unpack_row(table, row, 0, table.cols, y);
        if (args.scale != 1) std::transform(y, y + table.cols, y, [&](float x) { return x * args.scale; });
        continue;
      }
      constexpr int64_t kBlock = 512;
      float values[kBlock];
      for (int64_t k0 = 0; k0 < table.cols; k0 += kBlock) {
        const int64_t count = std::min(kBlock, table.cols - k0);
        unpack_row(table, row, k0, count, values);
        for (int64_t k = 0; k < count; ++k) y[k0 + k] += values[k];
      }
    }
  });
}

}  // namespace bolide::cpu
