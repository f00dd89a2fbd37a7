#include "ops/concat_columns.h"

#include <cstring>

#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void concat_columns(const Context& context, const ConcatColumnsArgs& args) {
  const int64_t columns = args.x.shape[1], total = args.y.shape[1];
  constexpr int64_t kWidth = sizeof(float);  // of either type
  const auto* x = static_cast<const std::byte*>(args.x.data);
  auto* y = static_cast<std::byte*>(args.y.data);
  parallel_ranges(context, args.y.shape[0], [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t part = 0; part * columns < total; ++part) {
        std::memcpy(y + (r * args.y.row_stride + part * columns) * kWidth,
                    x + (part * args.part_stride + r * args.x.row_stride) * kWidth,
                    static_cast<size_t>(std::min(columns, total - part * columns) * kWidth));
      }
    }
  });
}

}  // namespace bolide::cpu
