#include "ops/rotary.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void rotary(const Context& context, const RotaryArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.x.shape.rank() == 2 && args.cos.shape.rank() == 2 && args.head_size > 0);
  const int64_t tokens = args.x.shape[0], pairs = args.cos.shape[1];
  BOLIDE_CHECK(args.x.shape[1] % args.head_size == 0 && 2 * pairs <= args.head_size);
  check_activations(context, "x", args.x, tokens, args.x.shape[1]);
  check_matrix(context, "cos", args.cos, tokens, pairs);
  check_matrix(context, "sin", args.sin, tokens, pairs);
  if (args.x.shape.count() == 0 || pairs == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::rotary(context, args);
  }
  cpu::rotary(context, args);
}

void rotary_angles(const Context& context, const RotaryAnglesArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.cos.shape.rank() == 2);
  const int64_t tokens = static_cast<int64_t>(args.positions.size()), pairs = args.cos.shape[1];
  check_matrix(context, "cos", args.cos, tokens, pairs);
  check_matrix(context, "sin", args.sin, tokens, pairs);
  check_vector(context, "frequencies", args.frequencies, pairs);
  BOLIDE_CHECK(!overlap(args.cos, args.sin), "cos overlaps sin");
  if (!args.long_frequencies.empty()) check_vector(context, "long_frequencies", args.long_frequencies, pairs);
  if (args.growth.trained > 0) {
    BOLIDE_CHECK((pairs > 1 || !args.long_frequencies.empty()) && !args.prompt_lengths.empty() &&
                 args.query_offsets.size() == args.prompt_lengths.size() + 1);
  }
  if (args.cos.shape.count() == 0 || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::rotary_angles(context, args);
  }
  cpu::rotary_angles(context, args);
}

}  // namespace bolide
