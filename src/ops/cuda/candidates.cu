#include "ops/candidates.h"
#include "ops/cuda/device/draw.cuh"
#include "ops/cuda/device/grid.cuh"

namespace bolide::cuda {
namespace {

struct Task {
  LogitRows logits;
  const SampleRow* rows;  // or null: greedy
  int32_t begin;
  int k;
  float* values;
  int64_t values_stride;
  int32_t* ids;
  int64_t ids_stride;
  float* totals;
  int64_t totals_stride;
};

// kSelect: some rows may want more than their largest logit.
template <bool kSelect>
__global__ void __launch_bounds__(kDrawThreads) list_candidates(Task task) {
  extern __shared__ __align__(16) unsigned char dynamic[];
  const BlockTeam team;
  team.sync();  // now all its blocks have started: nothing may be written to one before that
  wait_for_previous();
  let_next_start();
  Shared& shared = *reinterpret_cast<Shared*>(dynamic);  // without kSelect there is its Exchange alone
  const int64_t r = blockIdx.x / static_cast<unsigned>(team.size());
  const SampleRow row = task.rows ? task.rows[r] : SampleRow();
  float* values = task.values + r * task.values_stride;
  int32_t* ids = task.ids + r * task.ids_stride;
  const auto put = [&](int64_t place, float logit, int column) {
    values[place] = logit;
    ids[place] = task.begin + column;
  };
  Draw draw(task.logits, shared.exchange, reinterpret_cast<float*>(dynamic + sizeof(Shared)));
  const Top top = draw.find_max();
  draw.set_scale(top.max, row.temperature);
  const uint64_t total = top.finite && task.totals ? draw.total() : 0;
  int count = min(1, task.logits.columns);
  const bool selected = kSelect && top.finite && !is_greedy(row);
  if constexpr (kSelect) {
    if (selected) {
      count = min(min(row.top_k, task.k), task.logits.columns);
      Cut cut;
      if (count < task.logits.columns) cut = draw.keep_count(shared, static_cast<uint64_t>(count));
      draw.list(shared, cut, put);
    }
  }
  if (team.rank() != 0) return;
  for (int i = count + static_cast<int>(threadIdx.x); i < task.k; i += kDrawThreads) {
    values[i] = -INFINITY;
    ids[i] = kNoId;
  }
  if (threadIdx.x != 0) return;
  if (!selected && count > 0) {
    values[0] = top.max;
    ids[0] = top.finite ? task.begin + top.column : kNoId;
  }
  if (!task.totals) return;
  float* totals = task.totals + r * task.totals_stride;
  totals[0] = top.max;
  totals[1] = static_cast<float>(static_cast<double>(total) / kUnits);
}

}  // namespace

void candidates(const Context& context, const CandidatesArgs& args) {
  const int64_t k = args.values.shape[1];
  const DrawLaunch rows = draw_launch(args.logits, k > 1);
  const Task task = {.logits = rows.rows,
                     .rows = args.rows.data(),
                     .begin = static_cast<int32_t>(args.begin),
                     .k = static_cast<int>(k),
                     .values = args.values.as<float>(),
                     .values_stride = args.values.row_stride,
                     .ids = args.ids.as<int32_t>(),
                     .ids_stride = args.ids.row_stride,
                     .totals = args.totals.empty() ? nullptr : args.totals.as<float>(),
                     .totals_stride = args.totals.row_stride};
  launch(context, "candidates", k > 1 ? list_candidates<true> : list_candidates<false>, rows.shape, task);
}

}  // namespace bolide::cuda
