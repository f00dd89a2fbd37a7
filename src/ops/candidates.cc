#include "ops/candidates.h"

#include <limits>

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void candidates(const Context& context, const CandidatesArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.logits.shape.rank() == 2 && args.values.shape.rank() == 2 && args.values.shape[1] >= 1);
  const int64_t rows = args.logits.shape[0], columns = args.logits.shape[1], k = args.values.shape[1];
  BOLIDE_CHECK(
      static_cast<int64_t>(args.rows.size()) == rows || (args.rows.empty() && k == 1 && args.totals.empty()),
      "parameters of {} rows for {} of logits", args.rows.size(), rows);
  BOLIDE_CHECK(args.begin >= 0 && args.begin + columns <= std::numeric_limits<int32_t>::max());
  check_matrix(context, "logits", args.logits, rows, columns);
  check_matrix(context, "values", args.values, rows, k);
  check_matrix(context, "ids", args.ids, rows, k, DType::kI32);
  if (!args.totals.empty()) check_matrix(context, "totals", args.totals, rows, 2);
  if (rows == 0 || (context.counting() && context.device == Device::kCuda)) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::candidates(context, args);
  }
  for (const SampleRow& row : args.rows) {
    BOLIDE_CHECK(row.temperature > 0 && candidates_of(row) >= 1 && candidates_of(row) <= k,
                 "temperature {} top_k {} of {} candidates", row.temperature, row.top_k, k);
  }
  cpu::candidates(context, args);
}

}  // namespace bolide
