#include "ops/sample.h"

#include "ops/check.h"

namespace bolide {

void sample(const Context& context, const SampleArgs& args) {
  check_context(context);
  const int64_t rows = static_cast<int64_t>(args.rows.size());
  BOLIDE_CHECK(args.logits.shape.rank() == 2 && (rows == 0 || args.logits.shape[1] > 0));
  check_matrix(context, "logits", args.logits, rows, args.logits.shape[1]);
  BOLIDE_CHECK(args.ids.size() == args.rows.size());
  BOLIDE_CHECK(args.log_probs.empty() || args.log_probs.size() == args.rows.size());
  if (rows == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::sample(context, args);
  }
  for (const SampleRow& row : args.rows) {
    BOLIDE_CHECK(row.temperature > 0 && row.top_k >= 0 && row.top_p >= 0 && row.top_p <= 1,
                 "temperature {} top_k {} top_p {}", row.temperature, row.top_k, row.top_p);
    BOLIDE_CHECK(!args.all_greedy || is_greedy(row));
  }
  cpu::sample(context, args);
}

}  // namespace bolide
