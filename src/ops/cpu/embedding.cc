#include "ops/embedding.h"

#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void embedding(const Context& context, const EmbeddingArgs& args) {
  const PackedMatrix& table = *args.table;
  dispatch_float(table.dtype, [&]<class T>() {
    const T* data = table.data.as<T>();
    parallel_ranges(context, static_cast<int64_t>(args.ids.size()), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        float* y = args.y.as<float>() + t * args.y.row_stride;
        const int64_t row = args.ids[t] - args.vocab_begin;
        for (int64_t k = 0; k < table.cols; ++k)
          y[k] = row < 0 || row >= table.rows ? 0.0f : to_float(data[table.offset(row, k)]);
      }
    });
  });
}

}  // namespace bolide::cpu
