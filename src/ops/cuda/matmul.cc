#include "ops/matmul.h"

#include "ops/cuda/matmul_kernels.h"

namespace bolide::cuda {

void matmul(const Context& context, const MatmulArgs& args) {
  const int64_t tokens = args.x.shape[0];
  // Up to kSkinnyRows the stream of weights is the floor, and own kernels run closer to it. Beyond, they
  // would read the weights again for every kSkinnyRows, which only a promise of equal bits is worth.
  if (tokens <= kSkinnyRows || context.deterministic) {
    skinny_matmul(context, args);
  } else {
    library_matmul(context, args);
  }
}

}  // namespace bolide::cuda
