#pragma once

#include "ops/cuda/argmax_kernels.h"
#include "ops/cuda/device/activation.cuh"
#include "ops/cuda/device/argmax.cuh"
#include "ops/cuda/device/cluster.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/hopper_ptx.cuh"
#include "ops/cuda/device/int8.cuh"
#include "ops/cuda/device/scalar.cuh"

// y = activation(x W^T + bias) for some rows of x by Hopper's warpgroup products, W being the left
// operand: 64 outputs by 16, 32 or 64 rows of x. Bound by the stream of weights and by the way from the
// end of the previous kernel to this one's own.
//
// A tile is 64 outputs (or 128: 64 for each of two warpgroups). The blocks of a cluster share its columns, in
// chunks of 64. One thread asks the copy engine for chunks of W, as many as the ring holds before the
// previous kernel has ended, and of x after that. Sums then cross the cluster: each block finishes every
// split-th 8 rows of x, adding the blocks' sums by rank.
//
// Of int8 weights a chunk has 128 columns. The consumers widen them in registers, from where products take
// their left operand as well, and scale their sums.
namespace bolide::cuda {

template <class T_, int kRows_, int kGroups_, int kSplit_, class W_ = T_>
struct SomeRowsTraits {
  using T = T_;
  using W = W_;  // as W is stored
  static constexpr bool kInt8 = std::is_same_v<W, int8_t>;
  static constexpr int kRows = kRows_;      // of x, padded with zeros
  static constexpr int kGroups = kGroups_;  // consumers, one warpgroup each
  static constexpr int kSplit = kSplit_;    // blocks of a cluster, a power of two
  static constexpr int kBlocks = kRows / 8;
  static constexpr int kConsumers = kGroups * 128, kThreads = kConsumers + 32;
  static constexpr int kOutputs = kGroups * 64;  // of a tile
  // W's row of a chunk is 128 bytes, x's are as many for each 64 columns. Two blocks fit a multiprocessor
  // with these rings, or one and the next kernel's.
  static constexpr int kParts = kInt8 ? 2 : 1, kChunk = 64 * kParts;  // columns
  static constexpr int kPartBytes = kRows * 128;
  static constexpr int kWBytes = kOutputs * 128, kXBytes = kParts * kPartBytes;
  static constexpr int kWStages = kInt8 ? 4 : kGroups == 1 ? 8 : 5;
  static constexpr int kMaxXStages = (kInt8 ? 49152 : 32768) / kXBytes;
  static constexpr int kXStages = kMaxXStages < kWStages ? kMaxXStages : kWStages;
  // Sums come to where the rings were: the whole cluster must have read them. Else they have a place of their
  // own, and a block sends as soon as it has them.
  static constexpr bool kReuse = kGroups == 2;
  static constexpr int kSlotBytes = kConsumers * 16;  // sums of 8 rows
};

struct SomeRows {
  void* y;
  const void* bias;
  const float* scales;  // of int8 weights
  int64_t y_stride;     // elements
  int rows, out;
  int row_blocks;     // of kRows, each a cluster's
  int chunks;         // of all columns
  int own;            // times 8 rows that a block finishes, at most
  int w_at, mail_at;  // bytes in shared memory; the ring of x is at 0
  bool y_f32;         // else T
  bool accumulate;    // y is fp32
  int gates;          // rows of W that are gates, where it is gated: y has so many columns; else 0
  Activation activation;
  ArgmaxParts argmax;  // one part a tile
};

// x in boxes of kRows rows. W as [out / 16, 2, 8, in], so that of 16 outputs the even ones come first: a
// lane, which has products' rows g and g + 8, then has neighbours. Gated, as [out / 16, 2, 8, in] with 8
// gates and then their ups: a lane has a gate and its up. In boxes of a tile.
struct SomeRowsMaps {
  CUtensorMap w, x;
};

// What all threads of a block know.
template <class Traits>
struct SomeRowsBlock {
  static constexpr int kXStages = Traits::kXStages, kWStages = Traits::kWStages;
  static constexpr int kBarriers = kWStages + 2 * kXStages + 1;

  const SomeRows& p;
  const SomeRowsMaps& maps;
  unsigned char* shared;
  uint64_t* mailbox;
  uint32_t x_ring, w_ring, w_full, x_full, empty;
  int rank, tile, first, count;  // this block's chunks
  int first_row, rows;

  __device__ __forceinline__ SomeRowsBlock(const SomeRows& params, const SomeRowsMaps& tensor_maps,
                                           unsigned char* memory, uint64_t* barriers)
      : p(params), maps(tensor_maps), shared(memory), mailbox(barriers + kBarriers - 1) {
    x_ring = shared_address(memory);
    w_ring = x_ring + static_cast<uint32_t>(p.w_at);
    w_full = shared_address(barriers);
    x_full = w_full + 8 * kWStages;
    empty = x_full + 8 * kXStages;
    rank = static_cast<int>(blockIdx.x % Traits::kSplit);
    const int cluster = static_cast<int>(blockIdx.x / Traits::kSplit);
    tile = cluster / p.row_blocks;
    first_row = cluster % p.row_blocks * Traits::kRows;
    rows = min(p.rows - first_row, Traits::kRows);
    first = p.chunks * rank / Traits::kSplit;
    count = p.chunks * (rank + 1) / Traits::kSplit - first;
  }
  // Times 8 rows, in all.
  __device__ __forceinline__ int live() const { return (rows + 7) / 8; }
  // Where block `from` of the cluster leaves its sums of this thread for this block's i-th 8 rows.
  __device__ __forceinline__ float4* slot(int from, int i) const {
    return reinterpret_cast<float4*>(shared + p.mail_at) + (from * p.own + i) * Traits::kConsumers +
           threadIdx.x;
  }
};

// One thread's work.
template <class Traits>
struct SomeRowsProducer {
  static constexpr int kXStages = Traits::kXStages, kWStages = Traits::kWStages;
  const SomeRowsBlock<Traits>& b;

  __device__ __forceinline__ void load_w(int n) const {
    const uint32_t stage = static_cast<uint32_t>(n % kWStages), full = b.w_full + stage * 8;
    barrier_expect(full, Traits::kWBytes);
    copy_box(b.w_ring + stage * Traits::kWBytes, b.maps.w, (b.first + n) * Traits::kChunk, 0, 0,
             b.tile * (Traits::kOutputs / 16), full);
  }
  __device__ __forceinline__ void expect_x(int n) const {
    barrier_expect(b.x_full + static_cast<uint32_t>(n % kXStages) * 8, Traits::kXBytes);
  }
  __device__ __forceinline__ void load_x(int n) const {
    const uint32_t stage = static_cast<uint32_t>(n % kXStages);
#pragma unroll
    for (int part = 0; part < Traits::kParts; ++part) {
      copy_box(b.x_ring + stage * Traits::kXBytes + part * Traits::kPartBytes, b.maps.x,
               (b.first + n) * Traits::kChunk + part * 64, b.first_row, b.x_full + stage * 8);
    }
  }
  // Before the previous kernel has ended.
  __device__ __forceinline__ void open() const {
    prefetch_map(b.maps.w);
    for (uint32_t i = 0; i < kWStages; ++i) barrier_init(b.w_full + i * 8, 1);
    for (uint32_t i = 0; i < kXStages; ++i) {
      barrier_init(b.x_full + i * 8, 1);
      barrier_init(b.empty + i * 8, Traits::kConsumers / 32);
    }
    open_mailbox(b.mailbox);
    barrier_init_fence();
    for (int n = 0; n < min(b.count, kWStages); ++n) load_w(n);
    prefetch_map(b.maps.x);
    for (int n = 0; n < min(b.count, kXStages); ++n) expect_x(n);
    const int own = (b.live() - b.rank + Traits::kSplit - 1) / Traits::kSplit;
    expect_mail(b.mailbox, own * (Traits::kSplit - 1) * Traits::kSlotBytes);
  }
  // A stage of x and the chunk's stage of W are read together; the ring of x is the shorter one.
  __device__ __forceinline__ void run() const {
    wait_for_previous();
    for (int n = 0; n < min(b.count, kXStages); ++n) load_x(n);
    let_next_start();
    for (int n = 0; n + kXStages < b.count; ++n) {
      barrier_wait(b.empty + static_cast<uint32_t>(n % kXStages) * 8,
                   static_cast<uint32_t>(n / kXStages) & 1);
      expect_x(n + kXStages);
      load_x(n + kXStages);
      if (n + kWStages < b.count) load_w(n + kWStages);
    }
  }
};

// A warpgroup's work, for 64 outputs. A lane has two neighbouring ones (of rows g and g + 8 of the products)
// in rows 2t and 2t + 1 of each 8 rows of x. All addresses are made before the previous kernel has ended.
template <class Traits>
struct SomeRowsConsumer {
  using T = typename Traits::T;
  static constexpr int kBlocks = Traits::kBlocks, kSplit = Traits::kSplit;
  static constexpr int kOwn = kBlocks > kSplit ? kBlocks / kSplit : 1;  // times 8 rows that it finishes
  static constexpr int kStep = kOwn < 2 ? kOwn : 2;                     // of them together
  const SomeRowsBlock<Traits>& b;
  int group, lane;
  int left;            // rows from this lane's first one on; none where it has no outputs
  unsigned char* y;    // this lane's first element
  int64_t row_bytes;   // of y
  const float4* mail;  // block 0's first sums for this one
  float2 bias = {0, 0}, scale = {1, 1};
  float c[kBlocks][4];
  uint32_t widened[2][4][4];  // of int8 weights, 64 columns at a time

  __device__ __forceinline__ explicit SomeRowsConsumer(const SomeRowsBlock<Traits>& block) : b(block) {
    const int thread = static_cast<int>(threadIdx.x);
    group = Traits::kGroups == 1 ? 0 : thread / 128;
    lane = thread % 32;
    const int size = b.p.y_f32 ? 4 : 2, row = b.rank * 8 + lane % 4 * 2;
    // Of two neighbours the first; gated, the only one.
    int output = b.tile * Traits::kOutputs + thread / 32 * 16 + lane / 4 * 2;
    const bool inside = output < b.p.out;
    left = inside ? b.rows - row : 0;
    if (b.p.gates > 0) output /= 2;
    const int second = b.p.gates > 0 ? b.p.gates : 1;  // from it to the lane's other row of W
    row_bytes = b.p.y_stride * size;
    y = static_cast<unsigned char*>(b.p.y) + (b.first_row + row) * row_bytes + output * size;
    mail = b.slot(0, 0);
    if constexpr (Traits::kInt8)
      if (inside) scale = {b.p.scales[output], b.p.scales[min(output + second, b.p.out - 1)]};
    if (b.p.bias && inside) {
      if (b.p.y_f32) {
        const float* from = static_cast<const float*>(b.p.bias) + output;
        bias = {from[0], from[second]};
      } else {
        const T* from = static_cast<const T*>(b.p.bias) + output;
        bias = {to_f32(from[0]), to_f32(from[second])};
      }
    }
#pragma unroll
    for (int n = 0; n < kBlocks; ++n)
#pragma unroll
      for (float& sum : c[n]) sum = 0;
  }

  // This lane's whole numbers in 16 columns as products take their left operand: rows g and g + 8, columns 2t
  // and 2t + 8 and those after them. `at`: of row g and column 2t, where the copy engine has put the first
  // 16; the next pieces of 16 bytes are where it has permuted them to.
  __device__ __forceinline__ static void widen_step(uint32_t (&a)[4], uint32_t at, uint32_t step) {
    at ^= step << 4;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      uint16_t two;
      asm volatile("ld.shared.u16 %0, [%1];" : "=h"(two) : "r"(at + i % 2 * (8 * 128) + i / 2 * 8));
      a[i] = widen_int8<T>(two).x;
    }
  }

  // Products of a chunk, of which those of the last part may still run. All before them have ended.
  __device__ __forceinline__ void multiply_chunk(uint32_t w_stage, uint64_t x) {
    const uint32_t at = b.w_ring + w_stage * Traits::kWBytes;
    if constexpr (Traits::kInt8) {
      const uint32_t g = static_cast<uint32_t>(lane) / 4, t = static_cast<uint32_t>(lane) % 4;
      const uint32_t mine = at + (threadIdx.x / 32 * 16 + g) * 128 + g * 16 + t * 2;
#pragma unroll
      for (uint32_t part = 0; part < 2; ++part) {
#pragma unroll
        for (uint32_t step = 0; step < 4; ++step) widen_step(widened[part][step], mine, part * 4 + step);
        keep(c);
        keep(widened[part]);
        group_begin();
#pragma unroll
        for (uint32_t step = 0; step < 4; ++step)
          multiply_rows<T>(c, widened[part][step], x + part * (Traits::kPartBytes / 16) + step * 2);
        group_issue();
        group_wait<1>();
        keep(c);
        keep(widened[1 - part]);
      }
    } else {
      const uint64_t w = operand(at + static_cast<uint32_t>(group) * (64 * 128), 16);
      keep(c);
      group_begin();
#pragma unroll
      for (uint64_t step = 0; step < 4; ++step)  // 16 columns, 32 bytes
        multiply_rows<T>(c, w + step * 2, x + step * 2, true);
      group_issue();
      group_wait<1>();
      keep(c);
    }
  }

  __device__ __forceinline__ void multiply() {
    uint32_t w_stage = 0, w_parity = 0, x_stage = 0, x_parity = 0, before = 0;
#pragma unroll 1
    for (int n = 0; n < b.count; ++n) {
      barrier_wait(b.w_full + w_stage * 8, w_parity);
      barrier_wait(b.x_full + x_stage * 8, x_parity);
      multiply_chunk(w_stage, operand(b.x_ring + x_stage * Traits::kXBytes, 16));
      // The chunk before has been read.
      if (n > 0 && lane == 0) barrier_arrive(b.empty + before * 8);
      before = x_stage;
      if (++x_stage == Traits::kXStages) x_stage = 0, x_parity ^= 1;
      if (++w_stage == Traits::kWStages) w_stage = 0, w_parity ^= 1;
    }
    group_wait<0>();
    keep(c);
    if constexpr (Traits::kInt8) {
#pragma unroll
      for (float(&sums)[4] : c) {
        sums[0] *= scale.x;
        sums[1] *= scale.x;
        sums[2] *= scale.y;
        sums[3] *= scale.y;
      }
    }
  }

  // Each 8 rows' sums to the block that finishes them: number n's to block n % kSplit, as its n / kSplit-th.
  // All blocks send to different ones at a time: the k-th that goes is number k ^ rank.
  __device__ __forceinline__ void send_sums() {
    const int live = b.live(), flips = b.rank % kBlocks;
#pragma unroll
    for (int bit = 1; bit < min(kSplit, kBlocks); bit *= 2) {
      const bool flip = flips & bit;
#pragma unroll
      for (int n = 0; n < kBlocks; ++n) {
        if (n & bit) continue;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float low = c[n][i], high = c[n | bit][i];
          c[n][i] = flip ? high : low;
          c[n | bit][i] = flip ? low : high;
        }
      }
    }
    float4* slot = b.slot(b.rank, 0);
#pragma unroll
    for (int k = 0; k < kBlocks; ++k) {
      const int number = k ^ flips, to = number % kSplit;
      if (number >= live) continue;
      const float4 sums = {c[k][0], c[k][1], c[k][2], c[k][3]};
      if (k % kSplit == 0 && (kBlocks >= kSplit || to == b.rank)) {
        slot[k / kSplit * Traits::kConsumers] = sums;  // this block's own: this thread reads it itself
      } else {
        send(slot + k / kSplit * Traits::kConsumers, b.mailbox, to, sums);
      }
    }
  }

  // To activation(gate) * up in the gates' places.
  __device__ __forceinline__ void gate_pairs(float (&out)[kStep * 4]) const {
    float gates[kStep * 2];
#pragma unroll
    for (int i = 0; i < kStep * 2; ++i) gates[i] = out[i * 2];
    activate_all(b.p.activation, gates);
#pragma unroll
    for (int i = 0; i < kStep * 2; ++i) out[i * 2] = gates[i] * out[i * 2 + 1];
  }

  __device__ __forceinline__ void finish() {
    const int live = b.live();
    if (b.rank >= live) return;
    if constexpr (kSplit > 1) await_mail(b.mailbox, 0);
#pragma unroll 1
    for (int number = b.rank; number < live; number += kSplit * kStep) {
      float out[kStep * 4];
#pragma unroll
      for (int n = 0; n < kStep; ++n) {
        float4 sum = {0, 0, 0, 0};
#pragma unroll
        for (int i = 0; i < kSplit; ++i) {
          const float4 part =
              n == 0 || number + n * kSplit < live ? mail[(i * b.p.own + n) * Traits::kConsumers] : float4{};
          sum = i == 0 ? part : float4{sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
        }
        // x and z are of row 2t, y and w of the next.
        out[n * 4] = sum.x + bias.x;
        out[n * 4 + 1] = sum.z + bias.y;
        out[n * 4 + 2] = sum.y + bias.x;
        out[n * 4 + 3] = sum.w + bias.y;
      }
      if (b.p.gates > 0) {
        gate_pairs(out);
      } else if (!b.p.accumulate) {
        activate_all(b.p.activation, out);
      }
#pragma unroll
      for (int i = 0; i < kStep * 2; ++i) {
        const int row = i / 2 * (8 * kSplit) + i % 2;
        unsigned char* to = y + row * row_bytes;
        if (left <= row) continue;
        if (b.p.gates > 0) {
          if (b.p.y_f32) {
            *reinterpret_cast<float*>(to) = out[i * 2];
          } else {
            *reinterpret_cast<T*>(to) = from_f32<T>(out[i * 2]);
          }
        } else if (b.p.accumulate) {
          add_pair(to, out[i * 2], out[i * 2 + 1]);
        } else if (b.p.y_f32) {
          *reinterpret_cast<float2*>(to) = {out[i * 2], out[i * 2 + 1]};
        } else {
          *reinterpret_cast<uint32_t*>(to) = pack(from_f32<T>(out[i * 2]), from_f32<T>(out[i * 2 + 1]));
        }
      }
      mail += kStep * Traits::kConsumers;
      y += kStep * 8 * kSplit * row_bytes;
      left -= kStep * 8 * kSplit;
    }
  }

  // In place of all that finish() does, once the block's sums are in shared memory. A warp takes 8 rows at a
  // time, 4 lanes a row, which share the outputs of each lane that has left sums there, and those lanes of
  // even and odd g: no two lanes read from one bank.
  __device__ __forceinline__ void leave_argmax() const {
    static_assert(kSplit == 1);
    constexpr int kWarps = Traits::kConsumers / 32;
    const int warp = static_cast<int>(threadIdx.x) / 32, row = lane / 4, odd = lane / 2 % 2,
              second = lane % 2;
    const int begin = b.tile * Traits::kOutputs, left_here = b.p.out - begin;
    const int sixteens = min(kWarps, left_here / 16);
    // Of a vocabulary's last columns some may be padding.
    const int rest = sixteens < kWarps ? left_here % 16 - odd * 2 - second : 0;
    for (int n = warp; n < b.live(); n += kWarps) {
      const float* from = reinterpret_cast<const float*>(b.shared + b.p.mail_at) +
                          n * Traits::kConsumers * 4 + odd * 16 + row / 2 * 4 + second * 2 + row % 2;
      ArgmaxSoFar best;
#pragma unroll 4
      for (int i = 0; i < sixteens; ++i)
#pragma unroll
        for (int k = 0; k < 4; ++k) best.look(from[i * 128 + k * 32], i * 16 + k * 4);
      for (int k = 0; k * 4 < rest; ++k) best.look(from[sixteens * 128 + k * 32], sixteens * 16 + k * 4);
      const uint64_t found = argmax_of_lanes(best.candidate(begin + odd * 2 + second), 4);
      const int64_t at = n * 8 + row;
      if (lane % 4 == 0 && at < b.rows)
        b.p.argmax.data[(b.first_row + at) * b.p.argmax.stride + b.tile] = found;
    }
  }
};

// kArgmax: of each row of y no more than the largest is wanted.
template <class Traits, bool kArgmax>
__global__ void __launch_bounds__(Traits::kThreads, 2)
    some_rows_kernel(const __grid_constant__ SomeRows p, const __grid_constant__ SomeRowsMaps maps) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  // Swizzled rows need a multiple of 1024.
  extern __shared__ __align__(1024) unsigned char dynamic[];
  // has_hopper_kernel() looks for static shared memory.
  __shared__ uint64_t barriers[SomeRowsBlock<Traits>::kBarriers];
  const SomeRowsBlock<Traits> block(p, maps, dynamic, barriers);
  const int thread = static_cast<int>(threadIdx.x);
  if (block.x_ring % 1024 != 0) __trap();
  if (thread == Traits::kConsumers) SomeRowsProducer<Traits>{block}.open();
  __syncwarp();
  __syncthreads();
  // Of a cluster: nobody sends before all have opened their mailboxes.
  constexpr bool kCluster = Traits::kSplit > 1, kReuse = Traits::kReuse;
  if constexpr (kCluster && !kReuse) cluster_arrive();
  if (thread >= Traits::kConsumers) {
    if (thread == Traits::kConsumers) SomeRowsProducer<Traits>{block}.run();
    __syncwarp();
    if constexpr (kCluster && kReuse) cluster_arrive();
    if constexpr (kCluster) cluster_wait();
    return;
  }
  SomeRowsConsumer<Traits> consumer(block);
  if constexpr (kCluster && !kReuse) cluster_wait();
  wait_for_previous();
  consumer.multiply();
  if constexpr (kReuse) {
    if constexpr (kCluster) {
      cluster_arrive();
      cluster_wait();
    } else {
      named_wait(1, Traits::kConsumers);
    }
  }
  consumer.send_sums();
  if constexpr (kArgmax) {
    named_wait(1, Traits::kConsumers);
    consumer.leave_argmax();
  } else {
    consumer.finish();
  }
#endif
}

}  // namespace bolide::cuda
