#include "ops/embedding.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

void embedding(const Context& context, const EmbeddingArgs& args) {
  check_context(context);
  BOLIDE_CHECK(args.table != nullptr);
  BOLIDE_CHECK(args.table->device == context.device);
  check_matrix(context, "y", args.y, static_cast<int64_t>(args.ids.size()), args.table->cols);
  const bool normed = !args.norm.weight.empty();
  BOLIDE_CHECK(!normed || !args.accumulate);
  BOLIDE_CHECK(args.scale == 1 || (!normed && !args.accumulate));
  if (normed) check_norm(context, args.norm, args.table->cols);
  if (args.ids.empty() || context.counting()) return;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::embedding(context, args);
  }
  cpu::embedding(context, args);
  if (normed) cpu::layer_norm(context, {.x = args.y, .norm = args.norm, .y = args.y});
}

}  // namespace bolide
