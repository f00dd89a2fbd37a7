#include "ops/matmul.h"

#include "ops/cuda/matmul_kernels.h"

namespace bolide::cuda {

void matmul(const Context& context, const MatmulArgs& args) {
  if (context.deterministic) return skinny_matmul(context, args);
  if (few_rows_matmul(context, args) || some_rows_matmul(context, args)) return;
  if (library_wins(*args.w, args.x.shape[0])) return library_matmul(context, args);
  skinny_matmul(context, args);
}

}  // namespace bolide::cuda
