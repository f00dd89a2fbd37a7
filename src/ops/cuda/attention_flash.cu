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
void launch_flash(const Context& context, const AttentionParams& p, int64_t max_query) {
  const int64_t tiles = (max_query + kFlashRows - 1) / kFlashRows;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.heads), static_cast<unsigned>(p.sequences),
                                       static_cast<unsigned>(tiles)),
                          .block = dim3(kFlashThreads),
                          .shared_bytes = Traits::kSharedBytes};
  launch(context, "attention_flash", attention_flash_kernel<Traits>, shape, p);
}

}  // namespace

bool flash_fits(int64_t head_size) {
  static const int most = [] {
    int device = 0, bytes = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "cudaDeviceGetAttribute");
    return bytes;
  }();
  size_t need = 0;
  dispatch_head(head_size, [&]<int kHead>() { need = FlashTraits<__half, kHead, NoBias>::kSharedBytes; });
  return need <= static_cast<size_t>(most);
}

void attention_flash(const Context& context, const AttentionParams& params, int64_t max_query) {
  const auto with_type = [&]<class T>() {
    dispatch_head(params.head_size, [&]<int kHead>() {
      if (params.alibi_slopes) {
        launch_flash<FlashTraits<T, kHead, Alibi>>(context, params, max_query);
      } else {
        launch_flash<FlashTraits<T, kHead, NoBias>>(context, params, max_query);
      }
    });
  };
  if (params.q.dtype == DType::kF16) {
    with_type.template operator()<__half>();
  } else {
    with_type.template operator()<__nv_bfloat16>();
  }
}

}  // namespace bolide::cuda
