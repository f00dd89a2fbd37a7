#include <limits>

#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/device/attention_hopper.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/tensor_map.h"

namespace bolide::cuda {
namespace {

HopperMaps tensor_maps(const AttentionParams& p, int64_t pages) {
  const auto head = static_cast<uint64_t>(p.head_size);
  const auto page = static_cast<uint64_t>(p.page_size.divisor);
  const uint64_t rows = static_cast<uint64_t>(pages) * static_cast<uint64_t>(p.kv_heads) * page;
  const uint32_t box_rows = std::min<uint32_t>(p.page_size.divisor, kHopperKeys);
  const uint64_t q_extents[3] = {head, static_cast<uint64_t>(p.heads), static_cast<uint64_t>(p.rows)};
  // A single row may come without a stride.
  const uint64_t q_stride = p.rows > 1 ? static_cast<uint64_t>(p.q.stride) * 2 : q_extents[1] * head * 2;
  return {tensor_map(p.q.data, p.q.dtype, q_extents, {head * 2, q_stride}, {1, 64}),
          tensor_map(p.k_pages, p.q.dtype, {head, rows}, {head * 2}, {box_rows}),
          tensor_map(p.v_pages, p.q.dtype, {head, rows}, {head * 2}, {box_rows})};
}

template <class Traits>
void launch_hopper(const Context& context, const AttentionParams& p, int64_t pages, int64_t max_kv_length) {
  const FlashGrid grid = flash_grid(p, kHopperRows, max_kv_length);
  // Blocks stay, so that the next tile's queries and keys come while the last one's results leave.
  const int blocks = std::min(grid.slots * p.heads, multiprocessors());
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(blocks)),
                          .block = dim3(kHopperThreads),
                          .shared_bytes = Traits::kSharedBytes,
                          .division = Division::kMaxShared};
  launch(context, "attention_hopper", attention_hopper_kernel<Traits>, shape, p, tensor_maps(p, pages), grid);
}

template <class T, class Mask, class Bias>
void launch_head(const Context& context, const AttentionParams& p, int64_t pages, int64_t max_kv_length) {
  if (p.head_size <= 64) {
    launch_hopper<HopperTraits<T, 64, Mask, Bias>>(context, p, pages, max_kv_length);
  } else {
    launch_hopper<HopperTraits<T, 128, Mask, Bias>>(context, p, pages, max_kv_length);
  }
}

bool has_kernel() {
  using Traits = HopperTraits<__half, 128, CausalMask, Alibi>;
  static const bool has = has_hopper_kernel(attention_hopper_kernel<Traits>, Traits::kSharedBytes);
  return has;
}

}  // namespace

bool hopper_fits(const AttentionParams& p, int64_t pages) {
  const int64_t page = p.page_size.divisor;
  return p.head_size > 32 && p.head_size <= 128 && page % 8 == 0 &&
         (kHopperKeys % page == 0 || page % kHopperKeys == 0) &&
         pages * p.kv_heads * page <= std::numeric_limits<int32_t>::max() && has_kernel();
}

void attention_hopper(const Context& context, const AttentionParams& params, int64_t pages,
                      int64_t max_kv_length) {
  const auto with_type = [&]<class T>() {
    dispatch_score(params, [&]<class Mask, class Bias>() {
      launch_head<T, Mask, Bias>(context, params, pages, max_kv_length);
    });
  };
  if (params.q.dtype == DType::kF16) {
    with_type.template operator()<__half>();
  } else {
    with_type.template operator()<__nv_bfloat16>();
  }
}

}  // namespace bolide::cuda
