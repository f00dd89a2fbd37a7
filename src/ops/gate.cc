#include "ops/gate.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void gate(const Context& context, const GateArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2 && args.x.shape[1] % 2 == 0);
  const int64_t tokens = args.x.shape[0], inner = args.x.shape[1] / 2;
  check_activations(context, "x", args.x, tokens, 2 * inner);
  check_matrix(context, "y", args.y, tokens, inner, args.x.dtype);
  BOLIDE_CHECK(!overlap(args.x, args.y), "y overlaps x");
  if (args.y.shape.count() == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::gate(context, args);
  }
  cpu::gate(context, args);
}

}  // namespace bolide
