#include "ops/gather_rows.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void gather_rows(const Context& context, const GatherRowsArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2);
  check_matrix(context, "x", args.x, args.x.shape[0], args.x.shape[1]);
  check_matrix(context, "y", args.y, static_cast<int64_t>(args.rows.size()), args.x.shape[1]);
  BOLIDE_CHECK(!overlap(args.x, args.y), "y overlaps x");
  if (args.rows.empty() || context.counting()) return;
  if (context.device == Device::kCpu) {
    for (int32_t row : args.rows)
      BOLIDE_CHECK(row >= 0 && row < args.x.shape[0], "row {} of {}", row, args.x.shape[0]);
  }
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::gather_rows(context, args);
  }
  cpu::gather_rows(context, args);
}

}  // namespace bolide
