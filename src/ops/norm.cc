#include "ops/norm.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void layer_norm(const Context& context, const LayerNormArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2);
  check_matrix(context, "x", args.x, args.x.shape[0], args.x.shape[1]);
  check_activations(context, "y", args.y, args.x.shape[0], args.x.shape[1]);
  check_norm(context, args.norm, args.x.shape[1]);
  BOLIDE_CHECK(same(args.x, args.y) || !overlap(args.x, args.y), "y overlaps x without being x");
  if (args.x.shape.count() == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::layer_norm(context, args);
  }
  cpu::layer_norm(context, args);
}

}  // namespace bolide
