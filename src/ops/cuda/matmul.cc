#include "ops/matmul.h"

#include "ops/cuda/matmul_kernels.h"

namespace bolide::cuda {

void matmul(const Context& context, const MatmulArgs& args) {
  if (context.deterministic) return skinny_matmul(context, args);
  if (few_rows_matmul(context, args)) return;
  // With few rows the stream of weights is the floor, and own kernels run closer to it. On an H200 they meet
  // cuBLASLt at about 20 rows with bloom-560m's matrices, and at 5 with bloom-7b1's.
  const int64_t few = static_cast<int64_t>(args.w->data.bytes()) <= (int64_t{16} << 20) ? 20 : 4;
  if (args.x.shape[0] <= few || (args.w->dtype == DType::kF32 && args.x.shape[0] <= kSkinnyRows)) {
    skinny_matmul(context, args);
  } else {
    library_matmul(context, args);
  }
}

}  // namespace bolide::cuda
