#include "ops/sample.h"

#include <algorithm>
#include <vector>

#include "ops/check.h"

namespace bolide {

void sample(const Context& context, const SampleArgs& args) {
  check_context(context);
  const int64_t rows = static_cast<int64_t>(args.rows.size());
  BOLIDE_CHECK(args.logits.shape.rank() == 2 && (rows == 0 || args.logits.shape[1] > 0));
  check_matrix(context, "logits", args.logits, rows, args.logits.shape[1]);
  BOLIDE_CHECK(args.ids.size() == args.rows.size());
  BOLIDE_CHECK(args.log_probs.empty() || args.log_probs.size() == args.rows.size());
  for (const SampleRow& row : args.rows) {
    BOLIDE_CHECK(row.temperature > 0 && row.top_k >= 0 && row.top_p >= 0 && row.top_p <= 1,
                 "temperature {} top_k {} top_p {}", row.temperature, row.top_k, row.top_p);
  }
  if (rows == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::sample(context, args);
  }
  cpu::sample(context, args);
  const auto bad = std::find(args.ids.begin(), args.ids.end(), kNanRow);
  if (bad != args.ids.end()) {
    fail(ErrorCode::kInternal,
         "the logits of row {} hold NaN: the model's weights or the cache are damaged; no token was drawn",
         bad - args.ids.begin());
  }
}

}  // namespace bolide
