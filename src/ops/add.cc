#include "ops/add.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void add(const Context& context, const AddArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2);
  check_activations(context, "x", args.x, args.x.shape[0], args.x.shape[1]);
  check_matrix(context, "y", args.y, args.x.shape[0], args.x.shape[1]);
  BOLIDE_CHECK(!overlap(args.x, args.y), "y overlaps x");
  if (!args.bias.empty()) check_vector(context, "bias", args.bias, args.x.shape[1]);
  if (args.x.shape.count() == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::add(context, args);
  }
  cpu::add(context, args);
}

}  // namespace bolide
