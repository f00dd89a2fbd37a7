#include <algorithm>

#include "ops/cuda/device/attention_rows.cuh"
#include "ops/cuda/launch.h"

namespace bolide::cuda {
namespace {

template <class Traits>
void launch_rows(const Context& context, const AttentionParams& p, int64_t max_kv_length, bool fused) {
  const int64_t group = p.heads / p.kv_heads, head_blocks = (group + Traits::kHeads - 1) / Traits::kHeads;
  const int64_t blocks = p.rows * p.kv_heads * head_blocks;
  const int64_t chunks = (max_seen(p, max_kv_length) + Traits::kChunk - 1) / Traits::kChunk;
  // A row is shared out until each warp has one chunk, or all multiprocessors are busy with four blocks.
  int64_t cluster = 1;
  while (has_clusters() && cluster < 8 && cluster * kRowWarps < chunks &&
         blocks * cluster * 2 <= 4 * multiprocessors())
    cluster *= 2;
  const int64_t rows = std::min<int64_t>(p.rows, 65535);
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(p.kv_heads * head_blocks * cluster), static_cast<unsigned>(rows),
                    static_cast<unsigned>((p.rows + rows - 1) / rows));
  shape.block = dim3(kRowThreads);
  shape.shared_bytes = Traits::kSharedBytes;
  shape.cluster_x = static_cast<unsigned>(cluster);
  launch(context, "attention_rows", attention_rows_kernel<Traits>, shape, p,
         RowLaunch{static_cast<int>(cluster), static_cast<int>(head_blocks), fused});
}

// Heads of a group that are computed together. Wide heads: fewer, for the sake of registers and shared
// memory.
template <class T, int kLanes, bool kAny>
void launch_lanes(const Context& context, const AttentionParams& p, int64_t max_kv_length, bool fused) {
  if (p.heads == p.kv_heads) {
    launch_rows<RowTraits<T, kLanes, 1, 1, true, kAny>>(context, p, max_kv_length, fused);
  } else {
    launch_rows<RowTraits<T, kLanes, 1, kLanes == 32 ? 2 : 4, true, kAny>>(context, p, max_kv_length, fused);
  }
}

template <class T, bool kAny>
void launch_type(const Context& context, const AttentionParams& p, int64_t max_kv_length, bool fused) {
  const int vectors = (p.head_size + kVector<T> - 1) / kVector<T>;
  constexpr int kMax = kVector<T> == 4 ? 2 : 1;
  if (p.head_size % kVector<T> != 0) {
    launch_rows<RowTraits<T, 32, kMax, 1, false, kAny>>(context, p, max_kv_length, fused);
  } else if (vectors <= 4 && !kAny) {  // kAny and heads so small meet rarely: 8 lanes will do
    launch_lanes<T, 4, false>(context, p, max_kv_length, fused);
  } else if (vectors <= 8) {
    launch_lanes<T, 8, kAny>(context, p, max_kv_length, fused);
  } else if (vectors <= 16) {
    launch_lanes<T, 16, kAny>(context, p, max_kv_length, fused);
  } else if (vectors <= 32) {
    launch_lanes<T, 32, kAny>(context, p, max_kv_length, fused);
  } else {  // fp32
    launch_rows<RowTraits<T, 32, kMax, 1, true, kAny>>(context, p, max_kv_length, fused);
  }
}

}  // namespace

void attention_rows(const Context& context, const AttentionParams& params, DType pages, int64_t max_kv_length,
                    bool fused) {
  dispatch_float(pages, [&]<class T>() {
    params.causal() && params.plain_scores()
        ? launch_type<device_t<T>, false>(context, params, max_kv_length, fused)
        : launch_type<device_t<T>, true>(context, params, max_kv_length, fused);
  });
}

}  // namespace bolide::cuda
