#include "ops/packed_matrix.h"

#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void pack_block(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
                PackedMatrix& matrix) {
  const int64_t rows = block.shape[transposed ? 1 : 0], cols = block.shape[transposed ? 0 : 1];
  const auto copy = [&]<class From, class To>(const From* from, To* to) {
    parallel_ranges(context, rows, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const From value = transposed ? from[c * block.row_stride + r] : from[r * block.row_stride + c];
          float wide;
          if constexpr (std::is_same_v<From, double>) {
            wide = static_cast<float>(value);
          } else {
            wide = to_float(value);
          }
          to[matrix.offset(row0 + r, col0 + c)] = from_float<To>(wide);
        }
      }
    });
  };
  dispatch_float(matrix.dtype, [&]<class To>() {
    To* to = matrix.data.as<To>();
    if (block.dtype == DType::kF64) return copy(block.as<double>(), to);
    dispatch_float(block.dtype, [&]<class From>() { copy(static_cast<const From*>(block.data), to); });
  });
}

}  // namespace bolide::cpu
