#include "ops/norm.h"

#include "ops/check.h"

namespace bolide {
namespace {
void check_norm(const Context& context, const LayerNormArgs& args, const View& x) {
  BOLIDE_CHECK(x.shape.rank() == 2);
  check_matrix(context, "x", x, x.shape[0], x.shape[1]);
  check_matrix(context, "y", args.y, x.shape[0], x.shape[1]);
  check_vector(context, "weight", args.weight, x.shape[1]);
  check_vector(context, "bias", args.bias, x.shape[1]);
}
}  // namespace

void layer_norm(const Context& context, const LayerNormArgs& args) {
  check_context(context);
  check_norm(context, args, args.x);
  BOLIDE_CHECK(same(args.x, args.y) || !overlap(args.x, args.y), "y overlaps x without being x");
  if (args.x.shape.count() == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::layer_norm(context, args);
  }
  cpu::layer_norm(context, args);
}

void add_norm(const Context& context, const AddNormArgs& args) {
  check_context(context);
  const View &residual = args.residual, &delta = args.delta, &sum = args.sum, &y = args.norm.y;
  BOLIDE_CHECK(sum.shape.rank() == 2);
  check_matrix(context, "sum", sum, sum.shape[0], sum.shape[1]);
  if (!y.empty()) check_norm(context, args.norm, sum);
  check_matrix(context, "residual", residual, sum.shape[0], sum.shape[1]);
  check_matrix(context, "delta", delta, sum.shape[0], sum.shape[1]);
  const auto apart = [](const View& a, const View& b) { return same(a, b) || !overlap(a, b); };
  BOLIDE_CHECK(apart(sum, residual) && apart(sum, delta), "sum overlaps an input without being it");
  BOLIDE_CHECK(y.empty() || (apart(y, residual) && !overlap(y, delta) && !overlap(y, sum)),
               "y may share memory with residual alone");
  if (sum.shape.count() == 0) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::add_norm(context, args);
  }
  cpu::add_norm(context, args);
}

}  // namespace bolide
