#include "ops/soft_cap.h"

#include "ops/check.h"

namespace bolide {

void soft_cap(const Context& context, const SoftCapArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2);
  check_matrix(context, "x", args.x, args.x.shape[0], args.x.shape[1]);
  BOLIDE_CHECK(args.cap > 0, "cap {}", args.cap);
  if (args.x.shape.count() == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::soft_cap(context, args);
  }
  cpu::soft_cap(context, args);
}

}  // namespace bolide
