#include "ops/rotary.h"

#include "ops/check.h"

namespace bolide {

void rotary(const Context& context, const RotaryArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2 && args.cos.shape.rank() == 2 && args.head_size > 0);
  const int64_t tokens = args.x.shape[0], pairs = args.cos.shape[1];
  BOLIDE_CHECK(args.x.shape[1] % args.head_size == 0 && 2 * pairs <= args.head_size);
  check_activations(context, "x", args.x, tokens, args.x.shape[1]);
  check_matrix(context, "cos", args.cos, tokens, pairs);
  check_matrix(context, "sin", args.sin, tokens, pairs);
  BOLIDE_CHECK(context.device == Device::kCpu, "rotary() has no GPU kernel yet");
  if (args.x.shape.count() > 0) cpu::rotary(context, args);
}

}  // namespace bolide
