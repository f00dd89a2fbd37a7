#include "ops/candidates.h"

#include <cmath>
#include <limits>

#include "ops/cpu/isa.h"
#include "ops/cpu/largest.h"
#include "ops/cpu/parallel.h"

namespace bolide::cpu {

void candidates(const Context& context, const CandidatesArgs& args) {
  isa();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const int64_t columns = args.logits.shape[1], k = args.values.shape[1];
  Arena own;
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  const View weights = arena.take({args.totals.empty() ? 0 : context.threads, columns}, DType::kF32),
             scratch = arena.take({k > 1 ? context.threads : 0, columns}, DType::kI32);
  if (context.counting()) return;
  parallel_ranges(context, args.logits.shape[0], [&](int64_t begin, int64_t end) {
    const int64_t mine = omp_get_thread_num() * columns;
    for (int64_t r = begin; r < end; ++r) {
      const SampleRow row = args.rows.empty() ? SampleRow() : args.rows[r];
      const float* logits = args.logits.as<float>() + r * args.logits.row_stride;
      float* values = args.values.as<float>() + r * args.values.row_stride;
      int32_t* ids = args.ids.as<int32_t>() + r * args.ids.row_stride;
      const float max = columns > 0 ? row_max(logits, columns) : -kInfinity;
      int64_t count = 0;
      const auto put = [&](float value, int64_t column) {
        values[count] = value;
        ids[count++] = std::isfinite(max) ? static_cast<int32_t>(args.begin + column) : kNoId;
      };
      if (std::isfinite(max) && candidates_of(row) > 1) {
        Largest largest(logits, columns, max, scratch.as<int32_t>() + mine);
        largest.keep_top(candidates_of(row));
        largest.sort();
        for (int32_t column : largest.kept()) put(logits[column], column);
      } else if (columns > 0) {
        put(max, std::isfinite(max) ? find_value(logits, columns, max) : 0);
      }
      std::fill(values + count, values + k, -kInfinity);
      std::fill(ids + count, ids + k, kNoId);
      if (args.totals.empty()) continue;
      float* totals = args.totals.as<float>() + r * args.totals.row_stride;
      totals[0] = max;
      totals[1] = std::isfinite(max) ? static_cast<float>(exp_row(logits, columns, max, 1 / row.temperature,
                                                                  weights.as<float>() + mine))
                                     : 0.0f;
    }
  });
}

}  // namespace bolide::cpu
