#include "ops/ref/element.h"
#include "ops/ref/ref.h"

namespace bolide::ref {

std::vector<double> embedding(const EmbeddingArgs& args) {
  std::vector<double> y;
  for (size_t t = 0; t < args.ids.size(); ++t) {
    const int64_t row = args.ids[t] - args.vocab_begin;
    const bool here = row >= 0 && row < args.table->rows;
    for (int64_t k = 0; k < args.table->cols; ++k) {
      const double before = args.accumulate ? element(args.y, static_cast<int64_t>(t), k) : 0;
      y.push_back(before + (here ? args.scale * element(*args.table, row, k) : 0));
    }
  }
  if (!args.norm.weight.empty()) y = norm_rows(y, args.norm);
  return y;
}

std::vector<double> gather_rows(const GatherRowsArgs& args) {
  std::vector<double> y;
  for (int32_t row : args.rows)
    for (int64_t i = 0; i < args.x.shape[1]; ++i) y.push_back(element(args.x, row, i));
  return y;
}

}  // namespace bolide::ref
