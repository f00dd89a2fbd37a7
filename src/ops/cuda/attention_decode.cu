#include <bit>
#include <limits>

#include "ops/cuda/device/attention_decode.cuh"
#include "ops/cuda/launch.h"

namespace bolide::cuda {
namespace {

template <class Traits>
void launch_traits(const Context& context, const DecodeParams& p, int64_t rows) {
  const int cluster = 1 << p.cluster_shift;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.kv_heads * cluster),
                                       static_cast<unsigned>(p.head_blocks()), static_cast<unsigned>(rows)),
                          .block = dim3(kDecodeThreads),
                          .shared_bytes = Traits::shared_bytes(cluster),
                          .cluster_x = static_cast<unsigned>(cluster)};
  launch(context, "attention_decode", attention_decode_kernel<Traits>, shape, p);
}

// Blocks share a row until all of its keys are asked for at once, or the GPU is full: two blocks fit on a
// multiprocessor.
template <class T, int kHead, bool kGrouped, bool kRotary>
void launch_head(const Context& context, DecodeParams p, const DecodeCase& of) {
  constexpr int kUnits = DecodeTraits<T, kHead, kGrouped, kRotary, false, true>::kUnits;
  const int64_t tile = kUnits * kDecodeUnit * kDecodeWarps, old = of.max_kv_length - 1;
  const int64_t blocks = of.rows * p.kv_heads * p.head_blocks();
  while (has_clusters() && 1 << p.cluster_shift < kMaxDecodeCluster && tile << p.cluster_shift < old &&
         blocks << (p.cluster_shift + 1) <= 2 * multiprocessors())
    ++p.cluster_shift;
  if (p.any()) {
    return p.cluster_shift == 0
               ? launch_traits<DecodeTraits<T, kHead, kGrouped, kRotary, false, false, false, true>>(
                     context, p, of.rows)
               : launch_traits<DecodeTraits<T, kHead, kGrouped, kRotary, true, false, false, true>>(
                     context, p, of.rows);
  }
  const bool once = tile << p.cluster_shift >= old;
  // Blocks for half of the multiprocessors find empty ones, and are quicker with all registers (bloom-560m on
  // an H200: 4 sequences 0.515 ms a step and 0.524 with fewer, 8 sequences 0.522 and 0.500).
  if constexpr (kHead == 64 && !kRotary) {  // turning would spill 20 of the fewer
    if (once && p.cluster_shift == 0 && 2 * blocks > multiprocessors())
      return launch_traits<DecodeTraits<T, kHead, kGrouped, kRotary, false, true, true>>(context, p, of.rows);
  }
  if (p.cluster_shift == 0) {
    once ? launch_traits<DecodeTraits<T, kHead, kGrouped, kRotary, false, true>>(context, p, of.rows)
         : launch_traits<DecodeTraits<T, kHead, kGrouped, kRotary, false, false>>(context, p, of.rows);
  } else {
    once ? launch_traits<DecodeTraits<T, kHead, kGrouped, kRotary, true, true>>(context, p, of.rows)
         : launch_traits<DecodeTraits<T, kHead, kGrouped, kRotary, true, false>>(context, p, of.rows);
  }
}

}  // namespace

bool attention_decode(const Context& context, const AttentionParams& params, DType dtype, int64_t pages,
                      int64_t max_kv_length) {
  const uint32_t page_size = params.page_size.divisor;
  if (dtype == DType::kF32 || (params.head_size != 64 && params.head_size != 128) ||
      page_size < kDecodeUnit || !std::has_single_bit(page_size) || params.rows > 65535) {
    return false;
  }
  // A single row may come with any stride, which is not used then.
  const auto fits = [&](const Matrix& m) {
    return m.dtype == dtype && m.vectors &&
           (params.rows == 1 || params.rows * m.stride <= std::numeric_limits<int32_t>::max());
  };
  if (!fits(params.q) || !fits(params.k) || !fits(params.v) || !fits(params.y) ||
      params.rows * params.max_pages > std::numeric_limits<int32_t>::max()) {
    return false;
  }
  const DecodeParams p = {.q = params.q.data,
                          .k = params.k.data,
                          .v = params.v.data,
                          .y = params.y.data,
                          .k_pages = params.k_pages,
                          .v_pages = params.v_pages,
                          .page_table = params.page_table,
                          .kv_lengths = params.kv_lengths,
                          .slots = params.slots,
                          .alibi_slopes = params.alibi_slopes,
                          .cos = params.cos,
                          .sin = params.sin,
                          .angle_stride = params.angle_stride,
                          .q_stride = static_cast<uint32_t>(params.q.stride),
                          .k_stride = static_cast<uint32_t>(params.k.stride),
                          .v_stride = static_cast<uint32_t>(params.v.stride),
                          .y_stride = static_cast<uint32_t>(params.y.stride),
                          .kv_heads = params.kv_heads,
                          .group = params.heads / params.kv_heads,
                          .max_pages = static_cast<int>(params.max_pages),
                          .page_shift = std::countr_zero(page_size),
                          .cluster_shift = 0,
                          .scale_log2 = params.scale_log2,
                          .soft_cap_log2 = params.soft_cap_log2,
                          .relative = params.relative,
                          .far = params.far,
                          .window = params.window};
  const DecodeCase of = {.dtype = dtype,
                         .head_size = params.head_size,
                         .rows = params.rows,
                         .pages = pages,
                         .max_kv_length = std::min(max_kv_length, int64_t{params.window} + kDecodeUnit)};
  if (ring_fits(p, of)) {
    attention_ring(context, p, of);
  } else {
    dispatch_decode(p, of, [&]<class T, int kHead, bool kGrouped, bool kRotary>() {
      launch_head<T, kHead, kGrouped, kRotary>(context, p, of);
    });
  }
  return true;
}

}  // namespace bolide::cuda
