#include "ops/gate.h"

#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void gate(const Context& context, const GateArgs& args) {
  const int64_t inner = args.y.shape[1];
  // Under 32 Ki elements the other threads are not worth waking.
  Context chosen = context;
  if (args.y.shape.count() < 32768) chosen.threads = 1;
  parallel_ranges(chosen, args.y.shape[0], [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* x = args.x.as<float>() + t * args.x.row_stride;
      float* y = args.y.as<float>() + t * args.y.row_stride;
      epilogue(x, args.x.row_stride, 1, inner, nullptr, args.activation);
      for (int64_t i = 0; i < inner; ++i) y[i] = x[i] * x[inner + i];
    }
  });
}

}  // namespace bolide::cpu
