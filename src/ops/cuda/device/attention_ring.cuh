#pragma once

#include "ops/cuda/device/attention_decode.cuh"
#include "ops/cuda/device/hopper_ptx.cuh"

// Attention of a decode step of many sequences: enough that a warp for each row and key head fills the GPU.
// Bound by the stream of keys and values, which the copy engine brings through a ring in shared memory. Its
// first tiles are on their way before the previous kernel has ended, beside whose blocks these find room,
// since the kernels of such a step divide a multiprocessor's memory alike (launch.h). Loads by way of
// registers, and copies by threads as well, have their place in the first-level cache, of which that division
// leaves little.
namespace bolide::cuda {

// A ring of 24 KB: eight blocks of one warp fit a multiprocessor.
inline constexpr int kRingTiles = 3;
inline constexpr int kRingBoxBytes = kDecodeUnit * 128;  // of 64 columns of a unit's keys or values

// Pages as rows of keys, in boxes of kDecodeUnit rows and 64 columns.
struct RingMaps {
  CUtensorMap k, v;
};

// A tile's unit u has its boxes of keys, then those of values.
template <class Traits>
struct RingTraits : Traits {
  static constexpr int kBoxes = 2 * Traits::kColumns;  // of a unit
  static constexpr int kTileBoxes = Traits::kUnits * kBoxes, kTileBytes = kTileBoxes * kRingBoxBytes;
  static constexpr int kTileKeys = Traits::kUnits * kDecodeUnit;
  static constexpr size_t kSharedBytes = kRingTiles * kTileBytes;
};

// Grid: as of attention_decode_kernel, without clusters. Traits: of DecodeTraits.
template <class Traits>
__global__ void __launch_bounds__(32, 8)
    attention_ring_kernel(const __grid_constant__ DecodeParams p, const __grid_constant__ RingMaps maps) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using T = typename Traits::Type;
  using Ring = RingTraits<Traits>;
  using Unit = DecodeUnit<Traits>;
  constexpr int kHead = Traits::kHead, kUnits = Traits::kUnits, kColumns = Traits::kColumns;
  constexpr int kTileKeys = Ring::kTileKeys, kBoxes = Ring::kBoxes;
  extern __shared__ __align__(1024) unsigned char dynamic[];
  // has_hopper_kernel() looks for static shared memory.
  __shared__ uint64_t barriers[kRingTiles];
  __shared__ alignas(16) float angles[Traits::kAngles];

  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const uint32_t row = blockIdx.z, kv_head = blockIdx.x;
  const int first_head =
      Traits::kGrouped ? static_cast<int>(blockIdx.y) * Traits::kHeads : 0;  // of the group
  const int heads = Traits::kGrouped ? min(Traits::kHeads, p.group - first_head) : 1;
  const uint32_t before = kv_head * (Traits::kGrouped ? p.group : 1) + first_head;
  const bool stores = blockIdx.y == 0 && lane < kHead / 4;

  // A lane knows the page of one unit of 32, a lane for each box of a tile asks for it.
  const int32_t* table = p.page_table + row * p.max_pages;
  int base = 0;  // of kAny: a whole number of units, which no window reaches; others count from there
  const auto find_page = [&](int unit) {
    return static_cast<uint32_t>(table[min(base + unit * kDecodeUnit >> p.page_shift, p.max_pages - 1)]);
  };
  uint32_t pages = 0;
  if constexpr (!Traits::kAny) pages = find_page(lane);
  int old = p.kv_lengths[row] - 1;  // keys in the pages
  int begin = 0;                    // of those, the first that is seen
  if constexpr (Traits::kAny) {
    begin = BandMask{0, p.window}.begin(old);
    base = begin / kDecodeUnit * kDecodeUnit;
    begin -= base;
    old -= base;
    pages = find_page(lane);
  }
  const uint32_t slot = stores ? static_cast<uint32_t>(p.slots[row]) : 0;
  const float slope = p.alibi_slopes ? p.alibi_slopes[before + (g < heads ? g : 0)] : 0.0f;

  const uint32_t ring = shared_address(dynamic), full = shared_address(barriers);
  if (ring % 1024 != 0) __trap();
  const int box = lane % kBoxes, box_unit = lane / kBoxes % kUnits;
  const auto ask = [&](int tile, uint32_t stage) {
    const int unit = tile * kUnits + box_unit;
    if (tile > 0 && tile * kUnits % 32 == 0) pages = find_page(tile * kUnits + lane);
    const uint32_t page = __shfl_sync(~0u, pages, unit % 32);
    const int left = (old + kDecodeUnit - 1) / kDecodeUnit - tile * kUnits;  // units
    if (left <= 0) return;
    if (lane == 0) barrier_expect(full + stage * 8, min(left, kUnits) * kBoxes * kRingBoxBytes);
    __syncwarp();
    if (lane < Ring::kTileBoxes && box_unit < left) {
      copy_box(ring + stage * Ring::kTileBytes + lane * kRingBoxBytes, box < kColumns ? maps.k : maps.v,
               box % kColumns * 64,
               static_cast<int>(page_row(p, page, kv_head, static_cast<uint32_t>(base + unit * kDecodeUnit))),
               full + stage * 8);
    }
  };
  if (lane == 0) {
    for (uint32_t i = 0; i < kRingTiles; ++i) barrier_init(full + i * 8, 1);
    barrier_init_fence();
  }
  if constexpr (Traits::kRotary) bring_angles<Traits>(p, row, angles);
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kRingTiles; ++i) ask(i, i);

  const T* q_row =
      static_cast<const T*>(p.q) + (row * p.q_stride + (before + (g < heads ? g : 0)) * kHead + t * 8);
  const T* k_row = static_cast<const T*>(p.k) + (row * p.k_stride + kv_head * kHead);
  const T* v_row = static_cast<const T*>(p.v) + (row * p.v_stride + kv_head * kHead);
  // Where the lane's vectors lie in a box: of keys those of even s, of values those of the first 4 rows.
  const uint32_t key_at = decode_order(g) * 128 + ((t ^ decode_order(g)) << 4);
  const uint32_t value_at = t * 128 + ((decode_order(g) ^ t) << 4);

  wait_for_previous();
  let_next_start();
  DecodeQuery<Traits::kSteps> q;
  uint4 query[Traits::kSteps], newest[Traits::kSteps], newest_value[kColumns];
#pragma unroll
  for (int s = 0; s < Traits::kSteps; ++s) query[s] = *reinterpret_cast<const uint4*>(q_row + 32 * s);
#pragma unroll
  for (int s = 0; s < Traits::kSteps; ++s) newest[s] = load_once(k_row + t * 8 + 32 * s);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) newest_value[c] = load_once(v_row + 64 * c + 8 * decode_order(g));
  if constexpr (Traits::kRotary) {
    turn_vectors<T>(query, angles + t * 8, angles + kHead / 2 + t * 8);
    turn_vectors<T>(newest, angles + t * 8, angles + kHead / 2 + t * 8);
  }
  q.take(query);
  if (stores) store_newest<Traits>(p, k_row, v_row, slot, kv_head, lane, angles);
  float own[2];  // in [0] the row's own key's for head g
  multiply_keys<T>(q, newest, own);
  own[0] *= p.scale_log2;
  const AnyScore any(slope, p.relative, p.far, p.soft_cap_log2, before + (g < heads ? g : 0));
  if constexpr (Traits::kAny) any.finish([&](auto&& change) { change(own[0], 0); });

  DecodeWorker<Traits> worker;
  const float bias_slope = slope * 1.4426950408889634f;
  uint32_t stage = 0, parity = 0;
#pragma unroll 1
  for (int key = 0, tile = 0; key < old; key += kTileKeys, ++tile) {
    barrier_wait(full + stage * 8, parity);
    const int left = old - key;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const uint32_t at = ring + stage * Ring::kTileBytes + u * (kBoxes * kRingBoxBytes);
      Unit& unit = worker.unit[u];
      Unit::each_key([&](int j, int s, int, int) {
        unit.k[j][s] = read_vector(at + s / 2 * kRingBoxBytes + j * 1024 + (key_at ^ s % 2 * 64));
      });
      Unit::each_value([&](int j, int i, int c, int, int) {
        unit.v[j][i][c] =
            read_vector(at + (kColumns + c) * kRingBoxBytes + j * 1024 + i * 512 + (value_at ^ i * 64));
      });
    }
    // Beyond the last key there may be anything, NaN too, which a weight of 0 would not take away.
    if (left < kTileKeys) {
#pragma unroll
      for (int u = 0; u < kUnits; ++u)
        Unit::each_value([&](int j, int i, int c, int, int at) {
          if (u * kDecodeUnit + at >= left) worker.unit[u].v[j][i][c] = {};
        });
    }
    if constexpr (Traits::kAny) {
      if (key < begin) {
        Unit::each_value([&](int j, int i, int c, int, int at) {
          if (at < begin) worker.unit[0].v[j][i][c] = {};
        });
      }
    }
    float score[kUnits][2][2];
    uint32_t weights[kUnits][2];
    if constexpr (Traits::kAny) {
      worker.find_scores(q, p.scale_log2, any, left, kDecodeUnit, begin - key, score);
    } else {
      worker.find_scores(q, p.scale_log2, bias_slope, left, kDecodeUnit, score);
    }
    worker.weigh(score, weights, key == 0);
#pragma unroll
    for (int u = 0; u < kUnits; ++u) worker.add(u, weights[u]);
    // All lanes have what they read from here.
    __syncwarp();
    ask(tile + kRingTiles, stage);
    if (++stage == kRingTiles) stage = 0, parity ^= 1;
  }

  // A lane has 8 neighbouring columns of two heads, or all lanes of a g have those of the only one.
#pragma unroll
  for (int h = 0; h < (Traits::kGrouped ? 2 : 1); ++h) {
    const int head = Traits::kGrouped ? 2 * t + h : 0;
    const float max = Traits::kGrouped ? __shfl_sync(~0u, worker.max, 4 * head) : worker.max;
    const float own_max = Traits::kGrouped ? __shfl_sync(~0u, own[0], 4 * head) : own[0];
    const float top = fmaxf(max, own_max), factor = exp2_approx(max - top),
                own_factor = exp2_approx(own_max - top);
    const float inverse = reciprocal_approx(fmaf(factor, worker.weight[h], own_factor));
    if (Traits::kGrouped ? head >= heads : t != 0) continue;
    T* y = static_cast<T*>(p.y) + (row * p.y_stride + (before + head) * kHead + 8 * decode_order(g));
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const uint32_t words[4] = {newest_value[c].x, newest_value[c].y, newest_value[c].z, newest_value[c].w};
      uint32_t out[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 value = unpack_pair<T>(words[i]);
        out[i] = pack_pair<T>(fmaf(factor, worker.column(c, 2 * i, h), own_factor * value.x) * inverse,
                              fmaf(factor, worker.column(c, 2 * i + 1, h), own_factor * value.y) * inverse);
      }
      *reinterpret_cast<uint4*>(y + 64 * c) = {out[0], out[1], out[2], out[3]};
    }
  }
#endif
}

}  // namespace bolide::cuda
