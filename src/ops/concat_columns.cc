#include "ops/concat_columns.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void concat_columns(const Context& context, const ConcatColumnsArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2 && args.y.shape.rank() == 2 && args.parts >= 1);
  BOLIDE_CHECK(args.x.dtype == DType::kF32 || args.x.dtype == DType::kI32);
  const int64_t rows = args.x.shape[0], columns = args.x.shape[1];
  check_matrix(context, "x", args.x, rows, columns, args.x.dtype);
  check_matrix(context, "y", args.y, rows, args.y.shape[1], args.x.dtype);
  BOLIDE_CHECK(args.y.shape[1] <= args.parts * columns, "{} columns of {} parts of {}", args.y.shape[1],
               args.parts, columns);
  if (rows == 0 || args.y.shape[1] == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::concat_columns(context, args);
  }
  cpu::concat_columns(context, args);
}

}  // namespace bolide
