#pragma once

#include "ops/cuda/device/async_copy.cuh"
#include "ops/cuda/device/attention_pages.cuh"
#include "ops/cuda/device/attention_ptx.cuh"
#include "ops/cuda/device/attention_tiles.cuh"
#include "ops/cuda/device/grid.cuh"

// Attention of tiles of query rows by tensor cores (mma.sync): keys and values pass through shared memory in
// tiles, two of each under way, scores and sums stay in registers.
namespace bolide::cuda {

inline constexpr int kFlashThreads = 128, kFlashRows = 64;  // 16 rows for each warp

template <class T_, int kHead_, class Mask_, class Bias_>
struct FlashTraits {
  using T = T_;
  using Mask = Mask_;
  using Bias = Bias_;
  static constexpr int kHead = kHead_;  // head_size, padded with zeros
  static constexpr int kKeys = kHead <= 128 ? 64 : 32;
  // Rows lie an odd number of 16-byte units apart, so that the 8 rows of a matrix load are in different
  // banks.
  static constexpr int kPitch = kHead + 8;
  static constexpr int kTile = kKeys * kPitch;
  static constexpr size_t kSharedBytes = 2 * (kFlashRows * kPitch + 4 * kTile);
};

template <class Traits>
struct FlashWorker {
  using T = typename Traits::T;
  static constexpr int kHead = Traits::kHead, kKeys = Traits::kKeys, kPitch = Traits::kPitch;
  static constexpr int kSteps = kHead / 16;  // of a product over the head
  static constexpr int kPieces = kHead / 8;  // 16-byte pieces of a row

  const AttentionParams& p;
  const FlashTile& tile;
  uint32_t q_shared, k_shared, v_shared;  // two tiles of k, two of v
  int kv_head;
  const int32_t* table;

  __device__ __forceinline__ void load_q() const {
    const T* q = static_cast<const T*>(p.q.data) + tile.row * p.q.stride + tile.head * p.head_size;
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < kFlashRows * kPieces; i += kFlashThreads) {
      const int r = i / kPieces, d = i % kPieces * 8;
      const bool valid = r < tile.rows && d < p.head_size;
      copy_vector(q_shared + static_cast<uint32_t>(r * kPitch + d) * 2, valid ? q + r * p.q.stride + d : q,
                  valid ? 16 : 0);
    }
  }
  // Key tiles are visited from the last to this one.
  __device__ __forceinline__ int first_tile() const { return Traits::Mask::kBand ? tile.begin / kKeys : 0; }
  // Key tile t, keys and values in one group each, or empty groups if there is no such tile. Keys that no row
  // of the tile sees are zero: what lies in their place may be anything, NaN too.
  __device__ __forceinline__ void load_keys(int t, int stage) const {
    constexpr int kLoads = kKeys * kPieces / kFlashThreads;
    static_assert(kKeys * kPieces % kFlashThreads == 0);
    if (t < first_tile()) {
      end_copy_group();
      end_copy_group();
      return;
    }
    const T* k = static_cast<const T*>(p.k_pages);
    const T* v = static_cast<const T*>(p.v_pages);
    int64_t from[kLoads];
    uint32_t to[kLoads];
    bool valid[kLoads];
#pragma unroll
    for (int n = 0; n < kLoads; ++n) {
      const int i = static_cast<int>(threadIdx.x) + n * kFlashThreads, r = i / kPieces, d = i % kPieces * 8;
      const int j = t * kKeys + r;
      valid[n] = j < tile.keys && (!Traits::Mask::kBand || j >= tile.begin) && d < p.head_size;
      from[n] =
          valid[n] ? static_cast<int64_t>(page_row(p, table, static_cast<int>(p.max_pages) - 1, kv_head, j)) *
                             p.head_size +
                         d
                   : 0;
      to[n] = static_cast<uint32_t>(stage * Traits::kTile + r * kPitch + d) * 2;
    }
#pragma unroll
    for (int n = 0; n < kLoads; ++n) copy_vector(k_shared + to[n], k + from[n], valid[n] ? 16 : 0);
    end_copy_group();
#pragma unroll
    for (int n = 0; n < kLoads; ++n) copy_vector(v_shared + to[n], v + from[n], valid[n] ? 16 : 0);
    end_copy_group();
  }

  __device__ __forceinline__ int warp() const { return static_cast<int>(threadIdx.x) / 32; }
  __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x) % 32; }
  // The lane's row address for a load of four matrices: rows 0 to 15, columns 0 to 15, row blocks first.
  __device__ __forceinline__ uint32_t rows_first() const {
    return static_cast<uint32_t>(lane() % 16 * kPitch + lane() / 16 * 8) * 2;
  }
  // The same, column blocks first.
  __device__ __forceinline__ uint32_t columns_first() const {
    return static_cast<uint32_t>((lane() / 16 * 8 + lane() % 8) * kPitch + lane() / 8 % 2 * 8) * 2;
  }
  __device__ __forceinline__ void q_fragment(int step, uint32_t (&a)[4]) const {
    load_matrices<false>(
        a, q_shared + static_cast<uint32_t>(warp() * 16 * kPitch + step * 16) * 2 + rows_first());
  }

  // score[n] = q k^T of the warp's rows and the tile's keys 8n to 8n + 7.
  __device__ __forceinline__ void multiply_keys(int stage, const uint32_t (&q)[kSteps][4],
                                                float (&score)[kKeys / 8][4]) const {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (float& x : score[n]) x = 0;
    const uint32_t k = k_shared + static_cast<uint32_t>(stage * Traits::kTile) * 2 + columns_first();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t a[4];
      if constexpr (kHead <= 128) {
#pragma unroll
        for (int i = 0; i < 4; ++i) a[i] = q[step][i];
      } else {
        q_fragment(step, a);
      }
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        uint32_t b[4];
        load_matrices<false>(b, k + static_cast<uint32_t>(n * 16 * kPitch + step * 16) * 2);
        multiply_add<T>(score[2 * n], a, b[0], b[1]);
        multiply_add<T>(score[2 * n + 1], a, b[2], b[3]);
      }
    }
  }
  // y += weight v.
  __device__ __forceinline__ void multiply_values(int stage, const float (&weight)[kKeys / 8][4],
                                                  float (&y)[kHead / 8][4]) const {
    const uint32_t v = v_shared + static_cast<uint32_t>(stage * Traits::kTile) * 2 + rows_first();
#pragma unroll
    for (int n = 0; n < kKeys / 16; ++n) {
      const auto& low = weight[2 * n];
      const auto& high = weight[2 * n + 1];
      const uint32_t a[4] = {pack_pair<T>(low[0], low[1]), pack_pair<T>(low[2], low[3]),
                             pack_pair<T>(high[0], high[1]), pack_pair<T>(high[2], high[3])};
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        uint32_t b[4];
        load_matrices<true>(b, v + static_cast<uint32_t>(n * 16 * kPitch + step * 16) * 2);
        multiply_add<T>(y[2 * step], a, b[0], b[1]);
        multiply_add<T>(y[2 * step + 1], a, b[2], b[3]);
      }
    }
  }

  // y through the warp's own rows of q's place in shared memory, so that it leaves in 16-byte pieces.
  __device__ __forceinline__ void write(T* shared_q, const float (&y)[kHead / 8][4],
                                        const float (&factor)[2]) const {
    T* rows = shared_q + warp() * 16 * kPitch;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < kHead / 8; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        T* at = rows + (lane() / 4 + half * 8) * kPitch + n * 8 + lane() % 4 * 2;
        *reinterpret_cast<uint32_t*>(at) =
            pack_pair<T>(y[n][2 * half] * factor[half], y[n][2 * half + 1] * factor[half]);
      }
    }
    __syncwarp();
    T* to = static_cast<T*>(p.y.data) + tile.row * p.y.stride + tile.head * p.head_size;
#pragma unroll 4
    for (int i = lane(); i < 16 * kPieces; i += 32) {
      const int r = i / kPieces, d = i % kPieces * 8;
      if (warp() * 16 + r < tile.rows && d < p.head_size)
        *reinterpret_cast<uint4*>(to + (warp() * 16 + r) * p.y.stride + d) =
            *reinterpret_cast<const uint4*>(rows + r * kPitch + d);
    }
  }
};

template <class Traits>
__global__ void __launch_bounds__(kFlashThreads)
    attention_flash_kernel(const __grid_constant__ AttentionParams p, const FlashGrid grid) {
  using T = typename Traits::T;
  using Worker = FlashWorker<Traits>;
  constexpr int kKeys = Traits::kKeys, kHead = Traits::kHead;
  extern __shared__ __align__(16) unsigned char shared[];
  let_next_start();
  FlashTile tile;
  if (!flash_tile<typename Traits::Mask>(p, grid, kFlashRows, tile)) return;
  const uint32_t q_shared = shared_address(shared), k_shared = q_shared + 2 * kFlashRows * Traits::kPitch;
  const Worker worker{p,
                      tile,
                      q_shared,
                      k_shared,
                      k_shared + 2 * 2 * Traits::kTile,
                      tile.head / (p.heads / p.kv_heads),
                      p.page_table + tile.sequence * p.max_pages};
  int t = (tile.keys - 1) / kKeys, stage = 0;
  wait_for_previous();
  worker.load_q();
  worker.load_keys(t, 0);

  const int row = worker.warp() * 16 + worker.lane() / 4;
  using Mask = typename Traits::Mask;
  const Mask mask = mask_of<Mask>(p, tile.sequence);
  FlashSoftmax<Mask, typename Traits::Bias> softmax(mask, {p, tile.head}, p.scale_log2, tile.position + row);
  uint32_t q[Worker::kSteps][4];
  float y[kHead / 8][4], score[kKeys / 8][4], factor[2];
#pragma unroll
  for (int n = 0; n < kHead / 8; ++n)
#pragma unroll
    for (float& x : y[n]) x = 0;
  await_copy_groups<1>();
  __syncthreads();
  if constexpr (kHead <= 128) {
#pragma unroll
    for (int step = 0; step < Worker::kSteps; ++step) worker.q_fragment(step, q[step]);
  }
  // Before these keys the last row sees none; from these on the first one.
  const int inside = Mask::kBand ? mask.begin(tile.position + tile.rows - 1) : 0;
  const int beyond = mask.end(tile.position);
  for (; t >= worker.first_tile(); --t, stage ^= 1) {
    worker.load_keys(t - 1, stage ^ 1);
    worker.multiply_keys(stage, q, score);
    if (t * kKeys + kKeys > beyond || (Mask::kBand && t * kKeys < inside)) {
      softmax.template weigh<true>(t * kKeys, score, factor);
    } else {
      softmax.template weigh<false>(t * kKeys, score, factor);
    }
    scale_rows(y, factor);
    await_copy_groups<2>();  // this tile's values
    __syncthreads();
    worker.multiply_values(stage, score, y);
    await_copy_groups<1>();  // the next tile's keys
    __syncthreads();
  }
  softmax.factors(factor);
  worker.write(reinterpret_cast<T*>(shared), y, factor);
}

}  // namespace bolide::cuda
