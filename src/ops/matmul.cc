#include "ops/matmul.h"

#include "ops/check.h"

namespace bolide {

void matmul(const Context& context, const MatmulArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.w != nullptr && args.x.shape.rank() == 2);
  const int64_t tokens = args.x.shape[0];
  BOLIDE_CHECK(args.w->device == context.device);
  if (args.norm.weight.empty()) {
    check_activations(context, "x", args.x, tokens, args.w->cols);
  } else {
    check_matrix(context, "x", args.x, tokens, args.w->cols);
    check_vector(context, "norm.weight", args.norm.weight, args.w->cols);
    check_vector(context, "norm.bias", args.norm.bias, args.w->cols);
  }
  check_activations(context, "y", args.y, tokens, args.w->rows);
  if (!args.bias.empty()) check_vector(context, "bias", args.bias, args.w->rows, args.y.dtype);
  BOLIDE_CHECK(!args.accumulate || (args.y.dtype == DType::kF32 && args.activation == Activation::kNone),
               "only fp32 without activation accumulates");
  BOLIDE_CHECK(!overlap(args.x, args.y), "y overlaps x");
  if (tokens == 0 || args.w->rows == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::matmul(context, args);
  }
  cpu::matmul(context, args);
}

}  // namespace bolide
