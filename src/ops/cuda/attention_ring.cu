#include <limits>

#include "ops/cuda/attention_kernels.h"
#include "ops/cuda/device/attention_ring.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/tensor_map.h"

namespace bolide::cuda {
namespace {

// Warps for each multiprocessor from which this kernel is better than blocks that share a row: on an H200
// with bloom-560m 16 sequences make 2 of them and take as long either way, 64 make 8.
constexpr int64_t kMinWarps = 3;
// A row has but one warp, on which all would wait if it had many more keys than the others.
constexpr int64_t kMaxKeys = 1024;

template <class T, int kHead, bool kGrouped, bool kRotary, bool kAny>
void launch_head(const Context& context, const DecodeParams& p, const DecodeCase& of) {
  using Traits = DecodeTraits<T, kHead, kGrouped, kRotary, false, false, false, kAny>;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(p.kv_heads), static_cast<unsigned>(p.head_blocks()),
                   static_cast<unsigned>(of.rows)),
      .block = dim3(32),
      .shared_bytes = RingTraits<Traits>::kSharedBytes,
      .division = Division::kMaxShared};
  const uint64_t keys = static_cast<uint64_t>(of.pages * p.kv_heads) << p.page_shift;
  const auto map = [&](const void* pages) {
    return tensor_map(pages, of.dtype, {uint64_t{kHead}, keys}, {uint64_t{kHead} * 2}, {kDecodeUnit});
  };
  launch(context, "attention_ring", attention_ring_kernel<Traits>, shape, p,
         RingMaps{map(p.k_pages), map(p.v_pages)});
}

bool has_kernel() {
  using Traits = DecodeTraits<__half, 128, true, true, false, false>;
  static const bool has = has_hopper_kernel(attention_ring_kernel<Traits>, RingTraits<Traits>::kSharedBytes);
  return has;
}

}  // namespace

bool ring_fits(const DecodeParams& p, const DecodeCase& of) {
  return division_for(of.rows) == Division::kMaxShared && of.max_kv_length <= kMaxKeys &&
         of.rows * p.kv_heads * p.head_blocks() >= kMinWarps * multiprocessors() &&
         of.pages * p.kv_heads << p.page_shift <= std::numeric_limits<int32_t>::max() && has_kernel();
}

void attention_ring(const Context& context, const DecodeParams& p, const DecodeCase& of) {
  dispatch_decode(p, of, [&]<class T, int kHead, bool kGrouped, bool kRotary>() {
    p.any() ? launch_head<T, kHead, kGrouped, kRotary, true>(context, p, of)
            : launch_head<T, kHead, kGrouped, kRotary, false>(context, p, of);
  });
}

}  // namespace bolide::cuda
