#include "ops/gather_rows.h"

#include <cstring>

namespace bolide::cpu {

// A few rows of a few KiB: not worth waking threads for.
void gather_rows(const Context&, const GatherRowsArgs& args) {
  const size_t bytes = static_cast<size_t>(args.x.shape[1]) * sizeof(float);
  for (size_t i = 0; i < args.rows.size(); ++i) {
    std::memcpy(args.y.as<float>() + static_cast<int64_t>(i) * args.y.row_stride,
                args.x.as<float>() + args.rows[i] * args.x.row_stride, bytes);
  }
}

}  // namespace bolide::cpu
