#pragma once

#include "ops/cuda/device/attention_functors.cuh"
#include "ops/cuda/device/attention_pages.cuh"
#include "ops/cuda/device/attention_ptx.cuh"
#include "ops/cuda/device/grid.cuh"

// Attention of single rows: a stream of keys and values, read once at the speed of memory.
//
// The keys of a row are cut into chunks, chunk c belongs to stream c % kRowStreams, and a stream's chunks are
// added up by one warp in ascending order; in the end the streams are, in ascending order, too. So the order
// of all additions follows from the row's own length alone, and a cluster of any size (or none) may share the
// streams out among its blocks.
namespace bolide::cuda {

inline constexpr int kRowThreads = 128, kRowWarps = kRowThreads / 32, kRowStreams = 32;
inline constexpr int kRowUnroll = 4;  // keys of a chunk for each group of threads: 4 KB of k and v for a warp

// kLanes neighbouring threads share a key, with kVectors vectors of 16 bytes each: head sizes up to kLanes *
// kVectors * kVector<T>. kHeads query heads of one key head are computed together, so that keys are read
// once. kAligned: head_size is a multiple of kVector<T>. kAny: whatever BandMask and AnyScore have.
template <class T, int kLanes_, int kVectors_, int kHeads_, bool kAligned_, bool kAny_>
struct RowTraits {
  using Type = T;
  static constexpr int kLanes = kLanes_, kVectors = kVectors_, kHeads = kHeads_;
  static constexpr bool kAligned = kAligned_, kAny = kAny_;
  static constexpr int kSlots = 32 / kLanes;  // keys that a warp reads at once
  static constexpr int kChunk = kSlots * kRowUnroll;
  static constexpr int kElements = kVectors * kVector<T>;  // of a thread
  static constexpr int kWidth = kLanes * kElements;        // head_size, padded
  static constexpr size_t kSharedBytes = sizeof(float) * kRowStreams * kHeads * (kWidth + 2);
};

struct RowLaunch {
  int cluster;      // blocks that share a row's streams
  int head_blocks;  // blocks for the query heads of one key head
  bool fused;       // see attention_rows() in ops/cuda/attention_kernels.h
};

// The max of scores, the sum of 2^(score - max) and the sum of that times v, of some keys of one head.
template <int kElements>
struct Partial {
  // Finite, so that the difference of two of them is not NaN.
  static constexpr float kLowest = -1e30f;
  float max, sum, v[kElements];
  __device__ __forceinline__ void clear() {
    max = kLowest, sum = 0;
#pragma unroll
    for (float& x : v) x = 0;
  }
};

template <class Traits>
struct RowWorker {
  using T = typename Traits::Type;
  static constexpr int kVectors = Traits::kVectors, kHeads = Traits::kHeads, kElements = Traits::kElements;
  static constexpr bool kAny = Traits::kAny;
  using Vectors = uint4[kRowUnroll][kVectors];

  const AttentionParams& p;
  const int32_t* table;  // the sequence's row of the page table
  int64_t row;
  int seen;       // the end of the row's keys
  int from_args;  // the key to be taken from p.k and p.v, or -1
  int kv_head, lane, slot;
  bool stores;                // whether this block stores that key,
  uint32_t new_row;           // and where
  uint32_t rows[kRowUnroll];  // where the keys of the chunk being loaded lie
  // Of kAny: the row's place, its first key, and the first key of its chunk, from where chunks count.
  int place = 0, begin = 0, base = 0;
  AnyScore any[kHeads] = {};

  using HeadVectors = uint4[kHeads][kVectors];

  __device__ __forceinline__ int key(int chunk, int u) const {
    return (kAny ? base : 0) + chunk * Traits::kChunk + u * Traits::kSlots + slot;
  }
  __device__ __forceinline__ int element(int vector) const {
    return (vector * Traits::kLanes + lane) * kVector<T>;
  }
  __device__ __forceinline__ bool in_pages(int j) const {
    return j < seen && j != from_args && (!kAny || j >= begin);
  }

  // Queries in the pages' type come as vectors, to be unpacked later; others as floats at once.
  __device__ __forceinline__ bool packed_q() const { return p.q.vectors && p.q.dtype == kDTypeOfDevice<T>; }
  // Of heads beyond the group, which nobody reads, the group's first.
  __device__ __forceinline__ int head(int first, int h) const {
    const int group = p.heads / p.kv_heads;
    return kv_head * group + (first + h < group ? first + h : 0);
  }
  __device__ __forceinline__ void ask_heads(int first, HeadVectors& asked) const {
    if (!packed_q()) return;
    const T* from = static_cast<const T*>(p.q.data) + row * p.q.stride;
#pragma unroll
    for (int h = 0; h < kHeads; ++h)
#pragma unroll
      for (int i = 0; i < kVectors; ++i)
        asked[h][i] = element(i) < p.head_size
                          ? *reinterpret_cast<const uint4*>(from + head(first, h) * p.head_size + element(i))
                          : uint4{};
  }
  // q and the slope of ALiBi in units of log2.
  __device__ __forceinline__ void take_heads(int first, const HeadVectors& asked,
                                             float (&q)[kHeads][kElements], float (&slope)[kHeads]) const {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const int begin = head(first, h) * p.head_size;
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        float x[kVector<T>];
        if (packed_q()) {
          unpack<T>(asked[h][i], x);
        } else {
          load(p.q, row, begin + element(i), begin + p.head_size, x);
        }
#pragma unroll
        for (int e = 0; e < kVector<T>; ++e) q[h][i * kVector<T> + e] = x[e] * p.scale_log2;
      }
      constexpr float kLog2e = 1.4426950408889634f;
      slope[h] = p.alibi_slopes ? p.alibi_slopes[head(first, h)] * kLog2e : 0.0f;
    }
  }

  // Reads the page table also where the row ends before, so as not to wait for its length.
  __device__ __forceinline__ void locate(int chunk) {
    const int last = static_cast<int>(p.max_pages) - 1;
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u) rows[u] = page_row(p, table, last, kv_head, key(chunk, u));
  }

  __device__ __forceinline__ uint4 load_vector(const T* from, int d) const {
    if constexpr (Traits::kAligned) {
      return d < p.head_size ? load_once(from + d) : uint4{};
    } else {
      T elements[kVector<T>];
#pragma unroll
      for (int i = 0; i < kVector<T>; ++i)
        elements[i] = d + i < p.head_size ? from[d + i] : from_f32<T>(0.0f);
      uint4 x;
      memcpy(&x, elements, sizeof(x));
      return x;
    }
  }
  // Keys that the row does not see, or not in the pages, are zero: what lies there may be anything, NaN too.
  __device__ __forceinline__ void load_pages(const void* pages, int chunk, Vectors& x) const {
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u) {
      const T* from = static_cast<const T*>(pages) + static_cast<int64_t>(rows[u]) * p.head_size;
#pragma unroll
      for (int i = 0; i < kVectors; ++i)
        x[u][i] = in_pages(key(chunk, u)) ? load_vector(from, element(i)) : uint4{};
    }
  }
  __device__ __forceinline__ bool brings(int chunk) const {
    return from_args >= 0 && (from_args - (kAny ? base : 0)) / Traits::kChunk == chunk;
  }
  // The key or value that the row itself brings, rounded as the pages are.
  __device__ __forceinline__ void load_new(const Matrix& m, int chunk, Vectors& x) const {
    if (!brings(chunk)) return;
    const int begin = kv_head * p.head_size;
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u) {
      if (key(chunk, u) != from_args) continue;
#pragma unroll
      for (int i = 0; i < kVectors; ++i)
        x[u][i] = load_vector_of<T>(m, row, begin + element(i), begin + p.head_size);
    }
  }
  __device__ __forceinline__ void store_new(void* pages, int chunk, const Vectors& x) const {
    if (!stores || !brings(chunk)) return;
    T* to = static_cast<T*>(pages) + static_cast<int64_t>(new_row) * p.head_size;
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u) {
      if (key(chunk, u) != from_args) continue;
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        const int d = element(i);
        if constexpr (Traits::kAligned) {
          if (d < p.head_size) *reinterpret_cast<uint4*>(to + d) = x[u][i];
        } else {
          T elements[kVector<T>];
          memcpy(elements, &x[u][i], sizeof(elements));
#pragma unroll
          for (int e = 0; e < kVector<T>; ++e)
            if (d + e < p.head_size) to[d + e] = elements[e];
        }
      }
    }
  }

  // score[u][h] = q . k + bias, for all threads of the key; -inf for keys that the row does not see.
  __device__ __forceinline__ void scores(const Vectors& k, const float (&q)[kHeads][kElements],
                                         const float (&slope)[kHeads], int chunk,
                                         float (&score)[kRowUnroll][kHeads]) const {
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u) {
#pragma unroll
      for (int h = 0; h < kHeads; ++h) score[u][h] = 0;
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        float x[kVector<T>];
        unpack<T>(k[u][i], x);
#pragma unroll
        for (int h = 0; h < kHeads; ++h)
#pragma unroll
          for (int e = 0; e < kVector<T>; ++e)
            score[u][h] = fmaf(q[h][i * kVector<T> + e], x[e], score[u][h]);
      }
    }
#pragma unroll
    for (int offset = Traits::kLanes / 2; offset > 0; offset /= 2)
#pragma unroll
      for (int u = 0; u < kRowUnroll; ++u)
#pragma unroll
        for (int h = 0; h < kHeads; ++h) score[u][h] += __shfl_xor_sync(~0u, score[u][h], offset);
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      if constexpr (kAny) {
        any[h].finish([&](auto&& change) {
#pragma unroll
          for (int u = 0; u < kRowUnroll; ++u) change(score[u][h], key(chunk, u) - place);
        });
      }
#pragma unroll
      for (int u = 0; u < kRowUnroll; ++u) {
        const int j = key(chunk, u);
        float x = score[u][h];
        if constexpr (!kAny) x = fmaf(slope[h], static_cast<float>(j - (seen - 1)), x);
        score[u][h] = j < seen && (!kAny || j >= begin) ? x : -INFINITY;
      }
    }
  }

  // Turns scores into weights, and what was summed up before to the new maximum.
  __device__ __forceinline__ void weigh(float (&score)[kRowUnroll][kHeads],
                                        Partial<kElements> (&part)[kHeads]) const {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float max = part[h].max;
#pragma unroll
      for (int u = 0; u < kRowUnroll; ++u) max = fmaxf(max, score[u][h]);
      const float shrink = exp2_approx(part[h].max - max);
      part[h].max = max;
      part[h].sum *= shrink;
#pragma unroll
      for (float& x : part[h].v) x *= shrink;
#pragma unroll
      for (int u = 0; u < kRowUnroll; ++u) {
        score[u][h] = exp2_approx(score[u][h] - max);
        part[h].sum += score[u][h];
      }
    }
  }
  __device__ __forceinline__ void add_values(const Vectors& v, const float (&weight)[kRowUnroll][kHeads],
                                             Partial<kElements> (&part)[kHeads]) const {
#pragma unroll
    for (int u = 0; u < kRowUnroll; ++u) {
#pragma unroll
      for (int i = 0; i < kVectors; ++i) {
        float x[kVector<T>];
        unpack<T>(v[u][i], x);
#pragma unroll
        for (int h = 0; h < kHeads; ++h)
#pragma unroll
          for (int e = 0; e < kVector<T>; ++e) {
            float& sum = part[h].v[i * kVector<T> + e];
            sum = fmaf(weight[u][h], x[e], sum);
          }
      }
    }
  }

  // Adds up what the warp's slots have and writes it as that of `stream`.
  __device__ __forceinline__ void write(Partial<kElements> (&part)[kHeads], int stream, float* values,
                                        float2* factors) const {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float max = part[h].max;
#pragma unroll
      for (int offset = Traits::kLanes; offset < 32; offset *= 2)
        max = fmaxf(max, __shfl_xor_sync(~0u, max, offset));
      const float shrink = exp2_approx(part[h].max - max);
      part[h].sum *= shrink;
#pragma unroll
      for (float& x : part[h].v) x *= shrink;
#pragma unroll
      for (int offset = Traits::kLanes; offset < 32; offset *= 2) {
        part[h].sum += __shfl_xor_sync(~0u, part[h].sum, offset);
#pragma unroll
        for (float& x : part[h].v) x += __shfl_xor_sync(~0u, x, offset);
      }
      if (slot != 0) continue;
      float* to = values + (stream * kHeads + h) * Traits::kWidth;
#pragma unroll
      for (int i = 0; i < kVectors; ++i)
#pragma unroll
        for (int e = 0; e < kVector<T>; e += 4) {
          const float* x = part[h].v + i * kVector<T> + e;
          *reinterpret_cast<float4*>(to + element(i) + e) = {x[0], x[1], x[2], x[3]};
        }
      if (lane == 0) factors[stream * kHeads + h] = {max, part[h].sum};
    }
  }
};

// y of element d of a head from its streams, in ascending order. values: the streams' sums of that element.
template <class Traits>
__device__ __forceinline__ float add_streams(const float* values, const float2* factors, int streams) {
  float max = factors[0].x;
  for (int s = 1; s < streams; ++s) max = fmaxf(max, factors[s * Traits::kHeads].x);
  float total = 0, y = 0;
#pragma unroll 4
  for (int s = 0; s < streams; ++s) {
    const float2 factor = factors[s * Traits::kHeads];
    const float weight = exp2_approx(factor.x - max);
    total = fmaf(weight, factor.y, total);
    y = fmaf(weight, values[s * Traits::kHeads * Traits::kWidth], y);
  }
  return streams > 0 ? y / total : 0.0f;
}

// Grid: x = key heads * head_blocks * cluster, (y, z) = rows.
template <class Traits>
__global__ void __launch_bounds__(kRowThreads)
    attention_rows_kernel(const __grid_constant__ AttentionParams p, const RowLaunch launch) {
  using Worker = RowWorker<Traits>;
  constexpr int kHeads = Traits::kHeads, kElements = Traits::kElements;
  extern __shared__ __align__(16) float shared[];

  const int64_t row = int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  if (row >= p.rows) return;
  const int rank = static_cast<int>(blockIdx.x) % launch.cluster;
  const int head_block = static_cast<int>(blockIdx.x) / launch.cluster;
  const int kv_head = head_block / launch.head_blocks, group = p.heads / p.kv_heads;
  const int first_head = (head_block % launch.head_blocks) * kHeads;  // of the group
  const int warp = static_cast<int>(threadIdx.x) / 32, thread = static_cast<int>(threadIdx.x) % 32;
  // From here on a block may write into another's shared memory only when that one has started.
  if (launch.cluster > 1) cluster_release();

  QueryRow place;
  if (launch.fused) {
    place = {static_cast<int>(row), p.kv_lengths[row]};
  } else {
    place = find_row(p, row);
  }
  int seen = place.seen, begin = 0;
  if constexpr (Traits::kAny) {
    const BandMask mask = mask_of<BandMask>(p, place.sequence);
    begin = mask.begin(place.seen - 1);
    if (place.seen > 0) seen = mask.end(place.seen - 1);
  }
  const int base = begin / Traits::kChunk * Traits::kChunk;
  const int chunks = (seen - base + Traits::kChunk - 1) / Traits::kChunk;
  Worker worker{p,
                p.page_table + int64_t{place.sequence} * p.max_pages,
                row,
                seen,
                launch.fused ? place.seen - 1 : -1,
                kv_head,
                thread % Traits::kLanes,
                thread / Traits::kLanes,
                launch.fused && first_head == 0,
                launch.fused ? slot_row(p, p.slots[row], kv_head) : 0,
                {},
                place.seen - 1,
                begin,
                base,
                {}};
  if constexpr (Traits::kAny) {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) worker.any[h] = AnyScore(p, worker.head(first_head, h));
  }
  int stream = rank + launch.cluster * warp, chunk = stream;
  typename Worker::Vectors k, v;
  // Tokens of earlier steps lie in the pages since before the kernel before this one began; where that one
  // has just written them, this must wait.
  if (!launch.fused) wait_for_previous();
  worker.locate(chunk);
  worker.load_pages(p.k_pages, chunk, k);
  worker.load_pages(p.v_pages, chunk, v);
  if (launch.fused) wait_for_previous();
  let_next_start();

  // All that had to be waited for is asked for before any of it is used.
  typename Worker::HeadVectors asked;
  worker.ask_heads(first_head, asked);
  worker.load_new(p.k, chunk, k);
  worker.load_new(p.v, chunk, v);
  float q[kHeads][kElements], slope[kHeads];
  worker.take_heads(first_head, asked, q, slope);
  Partial<kElements> part[kHeads];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) part[h].clear();

  float* values = shared;
  float2* factors = reinterpret_cast<float2*>(shared + kRowStreams * kHeads * Traits::kWidth);
  if (launch.cluster > 1) {
    cluster_wait_unaligned();
    values = in_first_block(values);
    factors = in_first_block(factors);
  }
  while (stream < kRowStreams && chunk < chunks) {
    int next_stream = stream, next = chunk + kRowStreams;
    if (next >= chunks) next = next_stream = stream + launch.cluster * kRowWarps;
    const bool more = next_stream < kRowStreams && next < chunks;
    worker.store_new(p.k_pages, chunk, k);
    worker.store_new(p.v_pages, chunk, v);
    float score[kRowUnroll][kHeads];
    worker.scores(k, q, slope, chunk, score);
    if (more) {
      worker.locate(next);
      worker.load_pages(p.k_pages, next, k);
      worker.load_new(p.k, next, k);
    }
    worker.weigh(score, part);
    worker.add_values(v, score, part);
    if (more) {
      worker.load_pages(p.v_pages, next, v);
      worker.load_new(p.v, next, v);
    }
    if (next_stream != stream) {
      worker.write(part, stream, values, factors);
#pragma unroll
      for (int h = 0; h < kHeads; ++h) part[h].clear();
    }
    stream = next_stream;
    chunk = next;
  }

  if (launch.cluster > 1) {
    cluster_release();
    cluster_wait_unaligned();
    if (rank != 0) return;
  } else {
    __syncthreads();
  }
  const int streams = chunks < kRowStreams ? chunks : kRowStreams;
  for (int i = static_cast<int>(threadIdx.x); i < kHeads * Traits::kWidth; i += kRowThreads) {
    const int h = i / Traits::kWidth, d = i % Traits::kWidth;
    if (d >= p.head_size || first_head + h >= group) continue;
    const float y = add_streams<Traits>(
        shared + i, reinterpret_cast<float2*>(shared + kRowStreams * kHeads * Traits::kWidth) + h, streams);
    store(p.y, row, (kv_head * group + first_head + h) * p.head_size + d, y);
  }
}

}  // namespace bolide::cuda
