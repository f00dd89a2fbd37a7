#pragma once

#include "ops/cuda/device/decode_worker.cuh"

// The kernel of a decode step's attention; decode_worker.cuh has what its warps do.
namespace bolide::cuda {

// The row of the pages where a unit's or a slot's keys of a head begin.
__device__ __forceinline__ uint32_t page_row(const DecodeParams& p, uint32_t page, uint32_t kv_head,
                                             uint32_t at) {
  return ((page * static_cast<uint32_t>(p.kv_heads) + kv_head) << p.page_shift) +
         (at & ((1u << p.page_shift) - 1));
}

// A row's own key and value into the pages, a vector a lane: by kHead / 4 lanes.
template <class Traits>
__device__ __forceinline__ void store_newest(const DecodeParams& p, const typename Traits::Type* k_row,
                                             const typename Traits::Type* v_row, uint32_t slot,
                                             uint32_t kv_head, int lane, const float* angles) {
  using T = typename Traits::Type;
  constexpr int kHead = Traits::kHead, kHalf = kHead / 2;
  const bool key = lane < kHead / 8;
  const int column = (key ? lane : lane - kHead / 8) * 8;
  T* to = static_cast<T*>(key ? p.k_pages : p.v_pages) +
          static_cast<int64_t>(page_row(p, slot >> p.page_shift, kv_head, slot)) * kHead;
  uint4 x = *reinterpret_cast<const uint4*>((key ? k_row : v_row) + column);
  if constexpr (Traits::kRotary) {
    if (key) {
      const uint4 other = *reinterpret_cast<const uint4*>(k_row + (column ^ kHalf));
      const bool second = column >= kHalf;
      uint4 pair[2] = {second ? other : x, second ? x : other};
      turn_vectors<T>(pair, angles + column % kHalf, angles + kHalf + column % kHalf);
      x = second ? pair[1] : pair[0];
    }
  }
  *reinterpret_cast<uint4*>(to + column) = x;
}

// Columns 64c + 2 * lane and the next of `head`, of all warps of the block; `own`: one part more.
template <class Traits>
__device__ __forceinline__ DecodeSum<Traits::kColumns> add_warps(const float* shared, int head, int lane,
                                                                 const DecodeSum<Traits::kColumns>& own) {
  DecodeSum<Traits::kColumns> parts[kDecodeWarps + 1];
#pragma unroll
  for (int w = 0; w < kDecodeWarps; w += 4) {
    const float4 max = *reinterpret_cast<const float4*>(shared + Traits::kMax + head * kDecodeWarps + w);
    const float4 sum = *reinterpret_cast<const float4*>(shared + Traits::kSum + head * kDecodeWarps + w);
    parts[w].max = max.x, parts[w + 1].max = max.y, parts[w + 2].max = max.z, parts[w + 3].max = max.w;
    parts[w].weight = sum.x, parts[w + 1].weight = sum.y;
    parts[w + 2].weight = sum.z, parts[w + 3].weight = sum.w;
  }
#pragma unroll
  for (int w = 0; w < kDecodeWarps; ++w)
#pragma unroll
    for (int c = 0; c < Traits::kColumns; ++c)
      parts[w].y[c] = *reinterpret_cast<const float2*>(
          shared + Traits::kValues + (w * Traits::kHeads + head) * Traits::kPitch + 64 * c + 2 * lane);
  parts[kDecodeWarps] = own;
  return add_up(parts);
}

// Grid: x = key heads * cluster, y = blocks of up to kHeads heads of a group, z = rows: what reads the same
// keys begins together, so that one finds in L2 what another has read.
template <class Traits>
__global__ void __maxnreg__(Traits::kRegisters)
    attention_decode_kernel(const __grid_constant__ DecodeParams p) {
  using T = typename Traits::Type;
  using Sum = DecodeSum<Traits::kColumns>;
  constexpr int kHead = Traits::kHead, kUnits = Traits::kUnits, kColumns = Traits::kColumns;
  extern __shared__ __align__(16) float dynamic[];
  __shared__ alignas(16) float angles[Traits::kAngles];
  float* shared = settle_shared(dynamic);
  uint64_t* mailbox = reinterpret_cast<uint64_t*>(shared);
  float2* mail = reinterpret_cast<float2*>(shared + Traits::kMail);

  const int lane = static_cast<int>(threadIdx.x % 32);
  // So that the compiler knows it to be the same for all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x / 32), 0);
  const int g = static_cast<int>(threadIdx.x % 32 / 4), t = static_cast<int>(threadIdx.x % 4);
  const uint32_t row = blockIdx.z, shift = Traits::kClustered ? p.cluster_shift : 0;
  const uint32_t kv_head = blockIdx.x >> shift, rank = blockIdx.x & ((1u << shift) - 1);
  const int first_head =
      Traits::kGrouped ? static_cast<int>(blockIdx.y) * Traits::kHeads : 0;  // of the group
  const int heads = Traits::kGrouped ? min(Traits::kHeads, p.group - first_head) : 1;
  const uint32_t before = kv_head * (Traits::kGrouped ? p.group : 1) + first_head;
  // Warps add up heads from the last warp on, which has the fewest keys. One warp stores the row's own key
  // and value, a vector a lane.
  const int head = kDecodeWarps - 1 - warp;
  const bool adds = head < heads, brings = adds && rank == 0;
  const bool stores = warp == 1 && rank == 0 && blockIdx.y == 0 && lane < kHead / 4;

  // The first keys of the warp's units are `key` and every `stride`, a tile being kUnits of them. The page
  // table is read before the length is known.
  const int stride = kDecodeUnit * kDecodeWarps << shift;
  int key = kDecodeUnit * static_cast<int>((warp << shift) + rank);
  int page[kUnits];
  const auto find_pages = [&](int from) {
#pragma unroll
    for (int u = 0; u < kUnits; ++u)
      page[u] = p.page_table[row * p.max_pages + min((from + u * stride) >> p.page_shift, p.max_pages - 1)];
  };
  if constexpr (!Traits::kAny) find_pages(key);
  const int old = p.kv_lengths[row] - 1;  // keys in the pages
  int begin = 0;                          // of those, the first that is seen
  if constexpr (Traits::kAny) {
    begin = BandMask{0, p.window}.begin(old);
    key += begin / kDecodeUnit * kDecodeUnit;
    find_pages(key);
  }
  const uint32_t slot = stores ? static_cast<uint32_t>(p.slots[row]) : 0;
  const float slope = p.alibi_slopes ? p.alibi_slopes[before + (g < heads ? g : 0)] : 0.0f;
  int active = 1;
  if constexpr (Traits::kClustered) {
    if (threadIdx.x == 0) open_mailbox(mailbox);
    __syncwarp();
    cluster_arrive();
    active = max(1, min(1 << shift, (old + kDecodeUnit - 1) / kDecodeUnit - begin / kDecodeUnit));
    if (static_cast<int>(rank) >= active) {
      cluster_wait();
      return;
    }
  }

  DecodeWorker<Traits> worker;
  uint32_t rows[kUnits];
  const T* keys = static_cast<const T*>(p.k_pages) + decode_order(g) * kHead + t * 8;
  const T* values = static_cast<const T*>(p.v_pages) + t * kHead + decode_order(g) * 8;
  const auto load_keys = [&](int from) {
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const int at = from + u * stride;
      rows[u] = page_row(p, static_cast<uint32_t>(page[u]), kv_head, static_cast<uint32_t>(at));
      worker.unit[u].load_keys(keys, rows[u], old - at);
    }
  };
  const auto load_values = [&](int from) {
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const int at = from + u * stride;
      worker.unit[u].load_values(values, rows[u], old - at, begin - at);
    }
    if constexpr (!Traits::kOnce) find_pages(from + kUnits * stride);
  };
  load_keys(key);
  load_values(key);
  if constexpr (Traits::kRotary) {
    bring_angles<Traits>(p, row, angles);
    __syncthreads();
  }

  const T* q_row =
      static_cast<const T*>(p.q) + (row * p.q_stride + (before + (g < heads ? g : 0)) * kHead + t * 8);
  const T* k_row = static_cast<const T*>(p.k) + (row * p.k_stride + kv_head * kHead);
  const T* v_row = static_cast<const T*>(p.v) + (row * p.v_stride + kv_head * kHead);

  wait_for_previous();
  let_next_start();
  DecodeQuery<Traits::kSteps> q;
  uint4 query[Traits::kSteps], newest[Traits::kSteps];
#pragma unroll
  for (int s = 0; s < Traits::kSteps; ++s) query[s] = *reinterpret_cast<const uint4*>(q_row + 32 * s);
#pragma unroll
  for (int s = 0; s < Traits::kSteps; ++s) newest[s] = load_once(k_row + t * 8 + 32 * s, brings);
  uint32_t newest_value[kColumns];
#pragma unroll
  for (int c = 0; c < kColumns; ++c)
    newest_value[c] = *reinterpret_cast<const uint32_t*>(v_row + 64 * c + 2 * lane);
  if constexpr (Traits::kRotary) {
    turn_vectors<T>(query, angles + t * 8, angles + kHead / 2 + t * 8);
    turn_vectors<T>(newest, angles + t * 8, angles + kHead / 2 + t * 8);
  }
  q.take(query);
  if (stores) store_newest<Traits>(p, k_row, v_row, slot, kv_head, lane, angles);

  const AnyScore any(slope, p.relative, p.far, p.soft_cap_log2, before + (g < heads ? g : 0));
  // The row's own key and value, at a distance of 0.
  Sum own;
  if (brings) {
    float score[2];
    multiply_keys<T>(q, newest, score);
    own.max = score[0] * p.scale_log2;
    if constexpr (Traits::kAny) any.finish([&](auto&& change) { change(own.max, 0); });
    if constexpr (Traits::kGrouped) own.max = __shfl_sync(~0u, own.max, 4 * head);
    own.weight = 1;
  }

  bool more = key < old;
  const float bias_slope = slope * 1.4426950408889634f;
  for (bool first = true; more; first = false) {
    const int next = key + kUnits * stride;
    more = !Traits::kOnce && next < old;
    float score[kUnits][2][2];
    uint32_t weights[kUnits][2];
    if constexpr (Traits::kAny) {
      worker.find_scores(q, p.scale_log2, any, old - key, stride, begin - key, score);
    } else {
      worker.find_scores(q, p.scale_log2, bias_slope, old - key, stride, score);
    }
    if (more) load_keys(next);
    worker.weigh(score, weights, Traits::kOnce || first);
#pragma unroll
    for (int u = 0; u < kUnits; ++u) worker.add(u, weights[u]);
    if (more) load_values(next);
    key = next;
  }
  worker.write(shared, warp, lane);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) own.y[c] = unpack_pair<T>(newest_value[c]);
  __syncthreads();
  if constexpr (Traits::kClustered) cluster_wait();
  if (!adds) return;
  Sum sum = add_warps<Traits>(shared, head, lane, own);

  if constexpr (Traits::kClustered) {
    float2* letter = mail + head * Traits::kLetter + lane;
    if (rank != 0) {
      letter += (rank - 1) * (Traits::kHeads * Traits::kLetter);
      send(letter, mailbox, 0, float2{sum.max, sum.weight});
#pragma unroll
      for (int c = 0; c < kColumns; ++c) send(letter + (c + 1) * 32, mailbox, 0, sum.y[c]);
      return;
    }
    if (head == 0 && lane == 0)
      expect_mail(mailbox, (active - 1) * heads * Traits::kLetter * static_cast<int>(sizeof(float2)));
    await_mail(mailbox, 0);
    Sum parts[kMaxDecodeCluster];
    parts[0] = sum;
#pragma unroll
    for (int r = 1; r < kMaxDecodeCluster; ++r) {
      if (r >= active) continue;
      const float2* from = letter + (r - 1) * (Traits::kHeads * Traits::kLetter);
      parts[r].max = from[0].x;
      parts[r].weight = from[0].y;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) parts[r].y[c] = from[(c + 1) * 32];
    }
    sum = add_up(parts);
  }
  T* y = static_cast<T*>(p.y) + (row * p.y_stride + (before + head) * kHead + 2 * lane);
  const float factor = reciprocal_approx(sum.weight);
#pragma unroll
  for (int c = 0; c < kColumns; ++c)
    *reinterpret_cast<uint32_t*>(y + 64 * c) = pack_pair<T>(sum.y[c].x * factor, sum.y[c].y * factor);
}

// Calls f.operator()<T, kHead, kGrouped, kRotary>(), the first parameters of DecodeTraits.
template <class F>
void dispatch_decode(const DecodeParams& p, const DecodeCase& of, const F& f) {
  const auto with_head = [&]<class T, int kHead>() {
    const auto with_group = [&]<bool kGrouped>() {
      p.cos ? f.template operator()<T, kHead, kGrouped, true>()
            : f.template operator()<T, kHead, kGrouped, false>();
    };
    p.group == 1 ? with_group.template operator()<false>() : with_group.template operator()<true>();
  };
  const auto with_type = [&]<class T>() {
    of.head_size == 64 ? with_head.template operator()<T, 64>() : with_head.template operator()<T, 128>();
  };
  of.dtype == DType::kF16 ? with_type.template operator()<__half>()
                          : with_type.template operator()<__nv_bfloat16>();
}

}  // namespace bolide::cuda
