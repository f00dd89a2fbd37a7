#include "base/rng.h"
#include "ops/cuda/device/draw.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/limits.h"
#include "ops/sample.h"

namespace bolide::cuda {
namespace {

struct Task {
  LogitRows logits;
  const SampleRow* rows;
  int32_t* ids;
  float* log_probs;
  // Of rows that are candidates of longer ones, or null.
  const int32_t* ids_of;
  int64_t ids_stride;
  const float* totals;
  int64_t totals_stride;
  int parts;

  __device__ double total(int64_t row, float max, float temperature) const {
    double sum = 0;
    for (int part = 0; part < parts; ++part) {
      const float* of_part = totals + part * totals_stride + row * 2;
      if (of_part[1] > 0) sum += of_part[1] * exp((static_cast<double>(of_part[0]) - max) / temperature);
    }
    return sum;
  }
};

__device__ __forceinline__ float unit_of(const SampleRow& row) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  return to_unit_float(
      philox4x32(row.seed, {low(row.position), high(row.position), low(row.request), high(row.request)})[0]);
}

// kDraw: some rows may not be greedy.
template <bool kDraw>
__global__ void __launch_bounds__(kDrawThreads) draw_rows(Task task) {
  extern __shared__ __align__(16) unsigned char dynamic[];
  const BlockTeam team;
  team.sync();  // now all its blocks have started: nothing may be written to one before that
  wait_for_previous();
  let_next_start();
  Shared& shared = *reinterpret_cast<Shared*>(dynamic);  // without kDraw there is its Exchange alone
  const int64_t r = blockIdx.x / static_cast<unsigned>(team.size());
  const SampleRow row = task.rows[r];
  Draw draw(task.logits, shared.exchange, reinterpret_cast<float*>(dynamic + sizeof(Shared)));
  const Top top = draw.find_max();
  int column = top.column;
  const bool drawn = kDraw && top.finite && !is_greedy(row);
  uint64_t total = 0;
  const bool some = row.top_k > 0 && row.top_k < task.logits.columns;
  const bool nucleus = row.top_p > 0 && row.top_p < 1;
  draw.set_scale(top.max, row.temperature);
  if (top.finite && ((task.log_probs && !task.totals) || (drawn && nucleus && !some))) total = draw.total();
  if constexpr (kDraw) {
    if (drawn) {
      Cut cut;
      if (some) cut = draw.keep_count(shared, static_cast<uint64_t>(row.top_k));
      if (nucleus) cut = draw.keep_mass(shared, row.top_p, some ? draw.mass_of(cut) : total);
      column = draw.walk(shared, cut, unit_of(row));
    }
  }
  if (!draw.leads()) return;
  task.ids[r] = !top.finite ? kNoId : task.ids_of ? task.ids_of[r * task.ids_stride + column] : column;
  if (!task.log_probs) return;
  float log_prob = NAN;
  if (top.finite) {
    const double x = task.logits.logits[r * task.logits.stride + column];
    const double all =
        task.totals ? task.total(r, top.max, row.temperature) : static_cast<double>(total) / kUnits;
    log_prob = static_cast<float>((x - top.max) / row.temperature - log(all));
  }
  task.log_probs[r] = log_prob;
}

size_t most_shared_bytes() {
  static const size_t bytes = [] {
    int device = 0, value = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
    return static_cast<size_t>(value);
  }();
  return bytes;
}

}  // namespace

DrawLaunch draw_launch(const View& logits, bool select) {
  const int64_t rows = logits.shape[0], columns = logits.shape[1];
  BOLIDE_CHECK(columns <= kMaxGpuVocab, "{} logits a row", columns);
  // Of fewer logits one block is done before a cluster has met.
  constexpr int64_t kOneBlock = 8192;
  const int blocks = has_clusters() && columns > kOneBlock ? kDrawCluster : 1;
  const int64_t of_warp = (columns + blocks * kWarps - 1) / (blocks * kWarps);
  LogitRows task = {.logits = logits.as<float>(),
                    .stride = logits.row_stride,
                    .columns = static_cast<int>(columns),
                    .chunk = static_cast<int>((of_warp + 127) / 128 * 128),
                    .vectors = reinterpret_cast<uintptr_t>(logits.data) % 16 == 0 &&
                               (rows == 1 || logits.row_stride % 4 == 0),
                    .staged = false};
  size_t bytes = sizeof(Exchange);
  if (select) {
    bytes = sizeof(Shared);
    const size_t staged = bytes + sizeof(float) * static_cast<size_t>(kWarps * task.chunk);
    task.staged = staged <= most_shared_bytes();
    if (task.staged) bytes = staged;
  }
  return {task,
          {.grid = dim3(static_cast<unsigned>(rows) * blocks),
           .block = dim3(kDrawThreads),
           .shared_bytes = bytes,
           .cluster_x = static_cast<unsigned>(blocks)}};
}

void sample(const Context& context, const SampleArgs& args) {
  const DrawLaunch rows = draw_launch(args.logits, !args.all_greedy);
  const bool totals = !args.totals.empty();
  const Task task = {.logits = rows.rows,
                     .rows = args.rows.data(),
                     .ids = args.ids.data(),
                     .log_probs = args.log_probs.data(),
                     .ids_of = args.ids_of.empty() ? nullptr : args.ids_of.as<int32_t>(),
                     .ids_stride = args.ids_of.row_stride,
                     .totals = totals ? args.totals.as<float>() : nullptr,
                     .totals_stride = args.totals.row_stride,
                     .parts = totals ? static_cast<int>(args.totals.shape[0]) : 0};
  launch(context, "sample", args.all_greedy ? draw_rows<false> : draw_rows<true>, rows.shape, task);
}

}  // namespace bolide::cuda
