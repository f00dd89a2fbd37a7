#include "ops/sample.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void sample(const Context& context, const SampleArgs& args) {
  check_context(context);
  const int64_t rows = static_cast<int64_t>(args.rows.size());
  BOLIDE_CHECK(args.logits.shape.rank() == 2 && (rows == 0 || args.logits.shape[1] > 0));
  check_matrix(context, "logits", args.logits, rows, args.logits.shape[1]);
  BOLIDE_CHECK(args.ids.size() == args.rows.size());
  BOLIDE_CHECK(args.log_probs.empty() || args.log_probs.size() == args.rows.size());
  const bool whole = args.ids_of.empty();
  if (!whole) {
    check_matrix(context, "ids_of", args.ids_of, rows, args.logits.shape[1], DType::kI32);
    const View& totals = args.totals;
    BOLIDE_CHECK(args.log_probs.empty() ||
                     (totals.device == context.device && totals.dtype == DType::kF32 &&
                      totals.shape.rank() == 3 && totals.shape[1] == rows && totals.shape[2] == 2),
                 "totals: {} {}", name_of(totals.dtype), totals.shape.str());
  }
  if (rows == 0 || (context.counting() && context.device == Device::kCuda)) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::sample(context, args);
  }
  for (const SampleRow& row : args.rows) {
    BOLIDE_CHECK(row.temperature > 0 && row.top_k >= 0 && row.top_p >= 0 && row.top_p <= 1,
                 "temperature {} top_k {} top_p {}", row.temperature, row.top_k, row.top_p);
    BOLIDE_CHECK((whole && !args.all_greedy) || is_greedy(row) || (!args.all_greedy && row.top_k > 0),
                 "a draw of top_k {} and top_p {}, of which greedy draws, or candidates, know too little",
                 row.top_k, row.top_p);
  }
  cpu::sample(context, args);
}

}  // namespace bolide
