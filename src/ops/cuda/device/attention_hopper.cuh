#pragma once

#include "ops/cuda/device/attention_pages.cuh"
#include "ops/cuda/device/attention_tiles.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/hopper_ptx.cuh"

// Attention of tiles of query rows by Hopper's warpgroup products (wgmma). Of three warpgroups one asks the
// copy engine for queries, keys and values, page by page; the two others have 64 rows each. While the
// products of the next scores and of the last weights run, softmax turns scores into weights; and the two
// take turns, so that one's softmax falls into the other's products.
namespace bolide::cuda {

inline constexpr int kHopperThreads = 384, kHopperConsumers = 2;
inline constexpr int kHopperRows = 128, kHopperKeys = 128;  // of a tile
inline constexpr int kSwizzle = 128;                        // bytes of a row in shared memory: 64 columns

template <class T_, int kHead_, class Mask_, class Bias_>
struct HopperTraits {
  using T = T_;
  using Mask = Mask_;
  using Bias = Bias_;
  static constexpr int kHead = kHead_;        // head_size, padded with zeros
  static constexpr int kHalves = kHead / 64;  // blocks of 64 columns, one after the other
  static constexpr int kStages = kHead == 64 ? 4 : 2;
  static constexpr int kQBytes = kHopperRows * kHead * 2, kTileBytes = kHopperKeys * kHead * 2;
  // Shared memory begins at a multiple of 16 only; swizzled rows need one of 1024.
  static constexpr size_t kSharedBytes = 1024 + 2 * kQBytes + 2 * kStages * kTileBytes;
};

// q as [rows, heads, head_size] in boxes of 64 rows of a head, k and v as [rows of pages, head_size] in boxes
// of a page (128 rows at most), all by 64 columns.
struct HopperMaps {
  CUtensorMap q, k, v;
};

// A ring of tiles of keys or of values, and its barriers. It goes on from one tile of rows to the next: tiles
// of keys are counted from the block's first on.
struct HopperRing {
  uint32_t tiles, full, empty;  // addresses in shared memory
};
template <class Traits>
struct HopperShared {
  uint32_t q, q_full, q_empty, y;
  HopperRing k, v;
  __device__ __forceinline__ static uint32_t tile(const HopperRing& ring, int n) {
    return ring.tiles + static_cast<uint32_t>(n) % Traits::kStages * Traits::kTileBytes;
  }
  __device__ __forceinline__ static uint32_t full(const HopperRing& ring, int n) {
    return ring.full + static_cast<uint32_t>(n) % Traits::kStages * 8;
  }
  __device__ __forceinline__ static uint32_t empty(const HopperRing& ring, int n) {
    return ring.empty + static_cast<uint32_t>(n) % Traits::kStages * 8;
  }
  __device__ __forceinline__ static uint32_t parity(int n) {
    return static_cast<uint32_t>(n) / Traits::kStages & 1;
  }
};

// Where a block is: `item` tiles of rows are done, and `base` tiles of keys.
struct HopperPlace {
  int item = 0, base = 0;
};
// Key tiles are visited from the last that some row sees, so many.
__device__ __forceinline__ int hopper_tiles(const FlashTile& tile) {
  return (tile.keys + kHopperKeys - 1) / kHopperKeys - tile.begin / kHopperKeys;
}
// The first key of the n-th.
__device__ __forceinline__ int hopper_first_key(const FlashTile& tile, int n) {
  return ((tile.keys + kHopperKeys - 1) / kHopperKeys - 1 - n) * kHopperKeys;
}

// One warp's work. Of four, two ask for keys and two for values, each for every second tile: a box is a page,
// one instruction of one lane after the other, so that a single warp would take longer over the pages of a
// tile than the consumers over its products.
template <class Traits>
struct HopperProducer {
  using Shared = HopperShared<Traits>;
  static constexpr int kWarps = 4;
  const AttentionParams& p;
  const HopperMaps& maps;
  const FlashTile& tile;
  const Shared& shared;
  HopperPlace place;
  int warp, lane;

  __device__ __forceinline__ void load_q() const {
    barrier_wait(shared.q_empty, (place.item & 1) ^ 1);
    if (lane == 0) barrier_expect(shared.q_full, Traits::kQBytes);
    __syncwarp();
    if (lane >= kHopperConsumers * Traits::kHalves) return;
    const int consumer = lane / Traits::kHalves, half = lane % Traits::kHalves;
    copy_box(shared.q + static_cast<uint32_t>(lane * 64 * kSwizzle), maps.q, half * 64, tile.head,
             static_cast<int>(tile.row) + consumer * 64, shared.q_full);
  }
  // This warp's tiles of keys or values, each lane one box. Pages that no row of the tile sees are left out.
  __device__ __forceinline__ void load(const CUtensorMap& map, const HopperRing& ring) const {
    const int tiles = hopper_tiles(tile), box_rows = min(static_cast<int>(p.page_size.divisor), kHopperKeys);
    const int32_t* table = p.page_table + tile.sequence * p.max_pages;
    const int kv_head = tile.head / (p.heads / p.kv_heads);
    const int box = lane / Traits::kHalves, half = lane % Traits::kHalves;
    const auto to = static_cast<uint32_t>((half * kHopperKeys + box * box_rows) * kSwizzle);
    const int all = kHopperKeys / box_rows;
    const int of_last = (tile.keys - hopper_first_key(tile, 0) + box_rows - 1) / box_rows;
    for (int n = (warp / 2 + place.base) % 2; n < tiles; n += kWarps / 2) {
      const int boxes = n == 0 ? of_last : all;
      // While the place is not free yet.
      const uint32_t row = page_row(p, table, static_cast<int>(p.max_pages) - 1, kv_head,
                                    hopper_first_key(tile, n) + box * box_rows);
      const int at = place.base + n;
      const uint32_t full = Shared::full(ring, at);
      barrier_wait(Shared::empty(ring, at), Shared::parity(at) ^ 1);
      if (lane == 0) barrier_expect(full, boxes * box_rows * kSwizzle * Traits::kHalves);
      __syncwarp();
      if (box < boxes) copy_box(Shared::tile(ring, at) + to, map, half * 64, static_cast<int>(row), full);
    }
  }
  __device__ __forceinline__ void run() const {
    if (warp == kWarps - 1) load_q();
    if (warp % 2 == 0) {
      load(maps.k, shared.k);
    } else {
      load(maps.v, shared.v);
    }
  }
};

// One warpgroup's work on a tile of rows.
template <class Traits>
struct HopperConsumer {
  using T = typename Traits::T;
  using Shared = HopperShared<Traits>;
  static constexpr int kHead = Traits::kHead;
  // Named barriers: whose turn it is (one for each consumer), both.
  static constexpr int kTurn = 1, kBoth = 3;

  const AttentionParams& p;
  const FlashTile& tile;
  const Shared& shared;
  HopperPlace place;
  int group, warp, lane;  // the consumer, the warp of it
  FlashSoftmax<typename Traits::Mask, typename Traits::Bias> softmax;
  float score[kHopperKeys / 8][4], y[kHead / 8][4];
  uint32_t weight[kHopperKeys / 16][4];

  __device__ __forceinline__ HopperConsumer(const AttentionParams& params, const FlashTile& t,
                                            const Shared& s, HopperPlace at, int thread)
      : p(params),
        tile(t),
        shared(s),
        place(at),
        group(__shfl_sync(~0u, thread / 128, 0)),  // uniform, as addresses of operands are
        warp(thread % 128 / 32),
        lane(thread % 32),
        softmax(mask_of<typename Traits::Mask>(params, t.sequence), {params, t.head}, params.scale_log2,
                t.position + thread / 32 * 16 + thread % 32 / 4) {
#pragma unroll
    for (int n = 0; n < kHead / 8; ++n)
#pragma unroll
      for (float& x : y[n]) x = 0;
  }
  __device__ __forceinline__ uint32_t own_q() const {
    return shared.q + static_cast<uint32_t>(group * Traits::kHalves * 64 * kSwizzle);
  }

  // score = q k^T of the n-th tile, on its way.
  __device__ __forceinline__ void begin_scores(int n) {
    keep(score);
    group_begin();
    const uint32_t q = own_q(), k = Shared::tile(shared.k, place.base + n);
#pragma unroll
    for (int step = 0; step < kHead / 16; ++step) {
      const uint32_t half = static_cast<uint32_t>(step / 4), column = static_cast<uint32_t>(step % 4) * 32;
      multiply_rows<T>(score, operand(q + half * 64 * kSwizzle + column, 16),
                       operand(k + half * kHopperKeys * kSwizzle + column, 16), step > 0);
    }
    group_issue();
  }
  // y += weight v of the n-th tile, on its way.
  __device__ __forceinline__ void begin_values(int n) {
    keep(y);
    keep(weight);
    group_begin();
    const uint32_t v = Shared::tile(shared.v, place.base + n);
#pragma unroll
    for (int step = 0; step < kHopperKeys / 16; ++step)
      multiply_values<T>(y, weight[step],
                         operand(v + static_cast<uint32_t>(step * 16 * kSwizzle), kHopperKeys * kSwizzle));
    group_issue();
  }
  // Each warp says that it no longer reads the n-th tile.
  __device__ __forceinline__ void release(const HopperRing& ring, int n) const {
    if (lane == 0) barrier_arrive(Shared::empty(ring, place.base + n));
  }
  __device__ __forceinline__ void release_q() const {
    if (lane == 0) barrier_arrive(shared.q_empty);
  }
  __device__ __forceinline__ void wait_for(const HopperRing& ring, int n, bool never = false) const {
    barrier_wait(Shared::full(ring, place.base + n), Shared::parity(place.base + n) ^ uint32_t{never});
  }
  template <bool kMasked>
  __device__ __forceinline__ void weigh(int n, float (&shrink)[2]) {
    softmax.template weigh<kMasked>(hopper_first_key(tile, n), score, shrink);
  }
  __device__ __forceinline__ void pack_weights() {
#pragma unroll
    for (int n = 0; n < kHopperKeys / 16; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float(&x)[4] = score[2 * n + i / 2];
        weight[n][i] = pack_pair<T>(x[i % 2 * 2], x[i % 2 * 2 + 1]);
      }
    }
  }
  // The last tile's values of keys that nobody sees: what lies in the pages or in shared memory may be NaN,
  // which a weight of zero does not remove. (Their scores are masked.)
  __device__ __forceinline__ void clear_tail() const {
    const int keys = tile.keys - hopper_first_key(tile, 0);
    if (keys < kHopperKeys) clear_values(0, keys, kHopperKeys);
  }
  // And the first tile's, whose pages may be somebody else's by now.
  __device__ __forceinline__ void clear_head() const {
    const int last = hopper_tiles(tile) - 1, keys = tile.begin - hopper_first_key(tile, last);
    if (keys > 0) clear_values(last, 0, keys);
  }
  // Those of keys [begin, end) of the n-th tile. For both consumers.
  __device__ __forceinline__ void clear_values(int n, int begin, int end) const {
    unsigned char* v =
        static_cast<unsigned char*>(__cvta_shared_to_generic(Shared::tile(shared.v, place.base + n)));
    constexpr int kPieces = kSwizzle / 16;
    const int count = (end - begin) * kPieces;
    for (int i = group * 128 + warp * 32 + lane; i < count * Traits::kHalves; i += kHopperConsumers * 128) {
      const int half = i / count, piece = i % count;
      *reinterpret_cast<uint4*>(v + (half * kHopperKeys + begin) * kSwizzle + piece * 16) = uint4{};
    }
    async_proxy_fence();
    named_wait(kBoth, kHopperConsumers * 128);
  }

  // Scores of tile n and values of tile n - 1, which have come.
  template <bool kMasked>
  __device__ __forceinline__ void step(int n, bool last) {
    float shrink[2];
    wait_for(shared.k, n);
    named_wait(kTurn + group, kHopperConsumers * 128);
    begin_scores(n);
    begin_values(n - 1);
    // The first consumer hands on its turn in each step, the second where there is a next one.
    if (group == 0 || !last) named_arrive(kTurn + 1 - group, kHopperConsumers * 128);
    group_wait<1>();
    keep(score);
    release(shared.k, n);
    if (last) release_q();
    weigh<kMasked>(n, shrink);
    // The next step's, but here it keeps the assembler from waiting for the values' products before softmax
    // rather than after it, as no order of statements does: sums of weights are never negative, which only we
    // know.
    const bool never = softmax.sum[0] + softmax.sum[1] < 0;
    wait_for(shared.v, n, never);
    group_wait<0>();
    keep(y);
    keep(weight);
    release(shared.v, n - 1);
    shrink_rows(y, shrink);
    pack_weights();
  }

  // y by way of each warp's part of shared memory, so that it leaves in 16-byte pieces.
  __device__ __forceinline__ void write() {
    float factor[2];
    softmax.factors(factor);
    scale_rows(y, factor);
    __syncwarp();  // all lanes have read the last tile's
    const auto place_of_y = shared.y + static_cast<uint32_t>(group * Traits::kHalves * 64 * kSwizzle);
    unsigned char* own = static_cast<unsigned char*>(__cvta_shared_to_generic(place_of_y));
    const auto at = [&](int row, int column) {
      return own + column / 64 * 64 * kSwizzle + row * kSwizzle + (column % 64 * 2 ^ (row % 8) * 16);
    };
#pragma unroll
    for (int n = 0; n < kHead / 8; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<uint32_t*>(at(warp * 16 + lane / 4 + half * 8, n * 8 + lane % 4 * 2)) =
            pack_pair<T>(y[n][2 * half], y[n][2 * half + 1]);
    __syncwarp();
    T* to = static_cast<T*>(p.y.data) + tile.row * p.y.stride + tile.head * p.head_size;
#pragma unroll 4
    for (int i = lane; i < 16 * kHead / 8; i += 32) {
      const int row = warp * 16 + i / (kHead / 8), d = i % (kHead / 8) * 8;
      if (group * 64 + row < tile.rows && d < p.head_size)
        *reinterpret_cast<uint4*>(to + (group * 64 + row) * p.y.stride + d) =
            *reinterpret_cast<const uint4*>(at(row, d));
    }
  }

  __device__ __forceinline__ void run() {
    const int tiles = hopper_tiles(tile);
    float shrink[2];
    barrier_wait(shared.q_full, place.item & 1);
    wait_for(shared.k, 0);
    if (group == 1 && tiles > 1) named_arrive(kTurn, kHopperConsumers * 128);
    begin_scores(0);
    group_wait<0>();
    keep(score);
    release(shared.k, 0);
    if (tiles == 1) release_q();
    weigh<true>(0, shrink);
    pack_weights();
    wait_for(shared.v, 0);
    clear_tail();
    // Tiles with keys that some row of this consumer does not see yet come first, with keys that some row
    // does not see any more last.
    const auto& mask = softmax.mask;
    const int first = tile.position + group * 64;
    int n = 1;
    for (; n < tiles && hopper_first_key(tile, n) + kHopperKeys > mask.end(first); ++n)
      step<true>(n, n + 1 == tiles);
    if constexpr (Traits::Mask::kBand) {
      const int inside = mask.begin(first + 63);
      for (; n < tiles && hopper_first_key(tile, n) >= inside; ++n) step<false>(n, n + 1 == tiles);
      for (; n < tiles; ++n) step<true>(n, n + 1 == tiles);
      clear_head();
    } else {
      for (; n < tiles; ++n) step<false>(n, n + 1 == tiles);
    }
    begin_values(tiles - 1);
    group_wait<0>();
    keep(y);
    release(shared.v, tiles - 1);
    write();
  }
};

template <class Traits>
__global__ void __launch_bounds__(kHopperThreads, 1)
    attention_hopper_kernel(const __grid_constant__ AttentionParams p,
                            const __grid_constant__ HopperMaps maps, const FlashGrid grid) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(16) unsigned char dynamic[];
  // hopper_fits() looks for static shared memory to see whether there is code for this GPU.
  __shared__ uint64_t barriers[2 + 4 * Traits::kStages];
  let_next_start();
  HopperShared<Traits> shared;
  shared.q = (shared_address(dynamic) + 1023) / 1024 * 1024;
  shared.k.tiles = shared.q + Traits::kQBytes;
  shared.v.tiles = shared.k.tiles + Traits::kStages * Traits::kTileBytes;
  shared.y = shared.v.tiles + Traits::kStages * Traits::kTileBytes;
  shared.q_full = shared_address(barriers);
  shared.q_empty = shared.q_full + 8;
  shared.k.full = shared.q_empty + 8;
  shared.k.empty = shared.k.full + 8 * Traits::kStages;
  shared.v.full = shared.k.empty + 8 * Traits::kStages;
  shared.v.empty = shared.v.full + 8 * Traits::kStages;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    prefetch_map(maps.q);
    prefetch_map(maps.k);
    prefetch_map(maps.v);
    barrier_init(shared.q_full, 1);
    barrier_init(shared.q_empty, kHopperConsumers * 4);
    for (uint32_t i = 0; i < Traits::kStages; ++i) {
      barrier_init(shared.k.full + i * 8, 1);
      barrier_init(shared.v.full + i * 8, 1);
      barrier_init(shared.k.empty + i * 8, kHopperConsumers * 4);
      barrier_init(shared.v.empty + i * 8, kHopperConsumers * 4);
    }
    barrier_init_fence();
  }
  __syncthreads();
  wait_for_previous();
  HopperPlace place;
  const auto next = [&](const FlashTile& tile) {
    ++place.item;
    place.base += hopper_tiles(tile);
  };
  if (thread < 128) {
    fewer_registers<24>();
    const int warp = __shfl_sync(~0u, thread / 32, 0);
    flash_tiles<typename Traits::Mask>(p, grid, kHopperRows, [&](const FlashTile& tile) {
      HopperProducer<Traits>{p, maps, tile, shared, place, warp, thread % 32}.run();
      next(tile);
    });
  } else {
    more_registers<240>();
    flash_tiles<typename Traits::Mask>(p, grid, kHopperRows, [&](const FlashTile& tile) {
      HopperConsumer<Traits>(p, tile, shared, place, thread - 128).run();
      next(tile);
    });
  }
#endif
}

}  // namespace bolide::cuda
