#include "ops/gate.h"

#include <algorithm>

#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void gate(const Context& context, const GateArgs& args) {
  // Blocks of columns, so that the one row of a decode step is work for several threads.
  constexpr int64_t kBlock = 1024;
  const int64_t inner = args.y.shape[1], blocks = (inner + kBlock - 1) / kBlock;
  const Context chosen = for_light_work(context, 4 * args.y.shape.count());
  parallel_ranges(chosen, args.y.shape[0] * blocks, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t column = i % blocks * kBlock, columns = std::min(kBlock, inner - column);
      float* gate = args.x.as<float>() + i / blocks * args.x.row_stride + column;
      const float* up = gate + inner;
      float* y = args.y.as<float>() + i / blocks * args.y.row_stride + column;
      epilogue(gate, args.x.row_stride, 1, columns, nullptr, args.activation);
      for (int64_t c = 0; c < columns; ++c) y[c] = gate[c] * up[c];
    }
  });
}

}  // namespace bolide::cpu
