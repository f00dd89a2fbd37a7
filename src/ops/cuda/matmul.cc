#include "ops/matmul.h"

#include "ops/cuda/matmul_kernels.h"

namespace bolide::cuda {

bool matmul(const Context& context, const MatmulArgs& args) {
  if (!context.deterministic) {
    if (few_rows_matmul(context, args)) return false;
    if (const Done done = some_rows_matmul(context, args); done != Done::kNothing)
      return done == Done::kArgmax;
    if (cublaslt_wins(*args.w, args.x.shape[0])) {
      cublaslt_matmul(context, args);
      return false;
    }
  }
  skinny_matmul(context, args);
  return false;
}

bool gated_matmul(const Context& context, const MatmulArgs& args) {
  if (!context.deterministic) {
    if (few_rows_matmul(context, args)) return true;
    if (some_rows_matmul(context, args) != Done::kNothing) return true;
    if (cublaslt_wins(*args.w, args.x.shape[0])) return false;
  }
  if (!skinny_gates(*args.w)) return false;
  skinny_matmul(context, args);
  return true;
}

}  // namespace bolide::cuda
