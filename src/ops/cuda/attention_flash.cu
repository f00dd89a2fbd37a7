#include <algorithm>
#include <limits>

#include "ops/cuda/device/attention_flash.cuh"
#include "ops/cuda/launch.h"

namespace bolide::cuda {
namespace {

// Calls f.template operator()<kHead>() with the padded head size that holds `head_size`.
template <class F>
decltype(auto) dispatch_head(int64_t head_size, F&& f) {
  if (head_size <= 32) return f.template operator()<32>();
  if (head_size <= 64) return f.template operator()<64>();
  if (head_size <= 96) return f.template operator()<96>();
  if (head_size <= 128) return f.template operator()<128>();
  return f.template operator()<256>();
}

template <class Traits>
void launch_flash(const Context& context, const AttentionParams& p, int64_t max_kv_length) {
  const FlashGrid grid = flash_grid(p, kFlashRows, max_kv_length);
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(grid.slots) * static_cast<unsigned>(p.heads)),
                          .block = dim3(kFlashThreads),
                          .shared_bytes = Traits::kSharedBytes};
  launch(context, "attention_flash", attention_flash_kernel<Traits>, shape, p, grid);
}

}  // namespace

FlashGrid flash_grid(const AttentionParams& p, int64_t tile_rows, int64_t max_kv_length) {
  // A third of the L2 of the smallest GPU of note, so that it holds the next heads' keys as well.
  constexpr int64_t kL2 = int64_t{16} << 20;
  const int64_t slots = p.rows / tile_rows + p.sequences, group = p.heads / p.kv_heads;
  if (slots * p.heads > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kUnsupported,
         "a step of {} tokens of {} heads is more than a GPU's grid holds: lower "
         "max_chunk_tokens",
         p.rows, p.heads);
  }
  const int64_t key_heads =
      kL2 / (std::max<int64_t>(max_kv_length, 1) * p.head_size * 4);  // 16-bit keys and values
  const int64_t section = std::clamp<int64_t>(key_heads, 1, p.kv_heads) * group;
  return {static_cast<int>(slots), static_cast<int>(section)};
}

bool flash_fits(int64_t head_size) {
  static const int most = [] {
    int device = 0, bytes = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
    return bytes;
  }();
  size_t need = 0;
  dispatch_head(head_size,
                [&]<int kHead>() { need = FlashTraits<__half, kHead, CausalMask, NoBias>::kSharedBytes; });
  return need <= static_cast<size_t>(most);
}

void attention_flash(const Context& context, const AttentionParams& params, int64_t max_kv_length) {
  const auto with_type = [&]<class T>() {
    dispatch_head(params.head_size, [&]<int kHead>() {
      dispatch_score(params, [&]<class Mask, class Bias>() {
        launch_flash<FlashTraits<T, kHead, Mask, Bias>>(context, params, max_kv_length);
      });
    });
  };
  if (params.q.dtype == DType::kF16) {
    with_type.template operator()<__half>();
  } else {
    with_type.template operator()<__nv_bfloat16>();
  }
}

}  // namespace bolide::cuda
