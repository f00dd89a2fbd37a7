#pragma once

#include "ops/cuda/device/activation.cuh"
#include "ops/cuda/device/any_dtype.cuh"
#include "ops/cuda/device/async_copy.cuh"
#include "ops/cuda/device/cluster.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/int8.cuh"
#include "ops/cuda/device/norm_row.cuh"
#include "ops/cuda/skinny_kernels.h"

// y = activation(norm(x) W^T + bias) for few rows of x, at the speed at which W arrives.
//
// A tile is 16 outputs. 8 warps share its columns, each taking a run of `steps` k-steps of 32; with more than
// 1024 columns, or too few tiles to fill the GPU, the blocks of a cluster share them, too. W goes from memory
// straight into the A fragments of m16n8k16 products (x^T is B): the order of k within a dot product is free
// as long as both sides agree, so a lane's 16 contiguous bytes of W serve as they come. 4 steps, 128
// contiguous bytes of each of two rows, are in flight per lane at any time: the first before the previous
// kernel has ended, the next tile's as soon as the registers are free. Of int8 weights 16 bytes are 16
// columns, and a k-step 64.
//
// Sums are added in an order that W's shape alone determines, so a row's result is the same bits for every
// number of rows.
namespace bolide::cuda {

inline constexpr int kTileRows = 16;  // outputs of a tile
inline constexpr int kStep = 32;      // columns of a k-step of 16-bit weights
inline constexpr int kTileWarps = 8;  // warps that share a tile within a block
inline constexpr int kUnitSteps = 4;  // k-steps that a warp has in flight

inline constexpr int kMailboxes = 2;  // one for each tile of a block

struct SkinnyNorm {
  const float* weight = nullptr;  // [in]
  const float* bias = nullptr;    // of an RMS norm null
  float eps = 0;
};

struct SkinnyParams {
  SkinnyArgs args;
  SkinnyNorm norm;
  int tiles = 0;        // of W
  int step = kStep;     // columns of a k-step
  int total_steps = 0;  // of a row of W
  int split_log2 = 0;   // blocks of a cluster: 1, 2, 4 or 8
  int steps = 0;        // of a warp in one tile
  // Bytes in shared memory: a row of x, and where things are.
  int pitch = 0, norm_at = 0, moments_at = 0, partial_at = 0, exchange_at = 0, mailboxes_at = 0, bias_at = 0,
      scale_at = 0, old_at = 0;

  __host__ __device__ int split() const { return 1 << split_log2; }
};

// What depends on kRows, the rows of x in one pass: 4, 8, 16, 32 or 64.
template <int kRows>
struct SkinnyShape {
  static constexpr int kColumns = kRows < 8 ? 1 : kRows / 8;  // of x, as products take them: 8 rows each
  // Two tiles share a block where x takes most of the shared memory.
  static constexpr int kGroups = kRows == 64 ? 2 : 1;
  static constexpr int kThreads = kGroups * kTileWarps * 32;
  // Blocks to fit a multiprocessor. With few rows of x the next kernel's blocks fit beside this one's.
  static constexpr int kBlocks = kRows <= 8 ? 4 : kRows == 16 ? 3 : kRows == 32 ? 2 : 1;
  static constexpr int kRoundRows = kRows < 16 ? kRows : 16;  // reduced over the warps at a time
  static constexpr int kRounds = kRows / kRoundRows;
  static constexpr int kOutputs = kRows * kTileRows;  // of a tile
  static constexpr int kPitch = 20;                   // floats from row to row: 16 and no bank conflicts
  static constexpr int kWarpPartial = kRoundRows * kPitch;
  static constexpr int kPartialBytes = kGroups * kTileWarps * kWarpPartial * 4;
  static constexpr int kExchangeBytes = kGroups * kOutputs * 4;
};

// threadIdx.x, read anew: what derives from it need not be kept in registers, which the weights fill.
__device__ __forceinline__ int thread_index() {
  int index;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
}

// How W is stored, as T or as int8.
template <class T, class W>
struct StoredWeights {
  static constexpr int kParts = static_cast<int>(sizeof(T) / sizeof(W));  // 16 bytes of W as so many of T
  static constexpr int kStep = cuda::kStep * kParts;
  static constexpr int kLaneColumns = 8 * kParts;  // of 16 bytes
};

// 16 bytes of two rows of W, 8 apart.
struct WeightFragment {
  uint4 low, high;
};

// 16 bytes of W, read once: past the first-level cache, and 256 bytes at a time into the second. 0 unless
// `valid`.
__device__ __forceinline__ uint4 load_weights(const void* address, bool valid) {
  uint4 v;
  asm volatile(
      "{\n .reg .pred p;\n setp.ne.b32 p, %5, 0;\n"
      " mov.b32 %0, 0;\n mov.b32 %1, 0;\n mov.b32 %2, 0;\n mov.b32 %3, 0;\n"
      " @p ld.global.nc.L1::no_allocate.L2::256B.v4.b32 {%0, %1, %2, %3}, [%4];\n}"
      : "=&r"(v.x), "=&r"(v.y), "=&r"(v.z), "=&r"(v.w)
      : "l"(address), "r"(static_cast<int>(valid)));
  return v;
}

// c += a b, for 16 outputs x 8 rows of x x 16 columns.
template <class T>
__device__ __forceinline__ void multiply(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                         uint32_t b0, uint32_t b1);
template <>
__device__ __forceinline__ void multiply<__half>(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                                 uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply<__nv_bfloat16>(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                                        uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// 8 columns of a lane's 16 bytes of W, as T.
template <class T, class W>
__device__ __forceinline__ uint4 weights_part(uint4 w, int part) {
  if constexpr (std::is_same_v<W, int8_t>) {
    const uint2 first = widen_int8<T>(part == 0 ? w.x : w.z), second = widen_int8<T>(part == 0 ? w.y : w.w);
    return {first.x, first.y, second.x, second.y};
  } else {
    return w;
  }
}

// One k-step. Of a lane's four words of W as T, words 0 and 2 make one chain of sums, 1 and 3 another:
// shorter waits. c[n][i]: chain i, for column n of x, whose bytes for this lane begin at `x`, `stride` bytes
// apart.
template <class T, class W, int kColumns>
__device__ __forceinline__ void multiply_step(float (&c)[kColumns][2][4], const WeightFragment& w,
                                              const char* x, int stride) {
#pragma unroll
  for (int part = 0; part < StoredWeights<T, W>::kParts; ++part) {
    const uint4 low = weights_part<T, W>(w.low, part), high = weights_part<T, W>(w.high, part);
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      const uint4 b = *reinterpret_cast<const uint4*>(x + n * stride + part * 16);
      multiply<T>(c[n][0], low.x, high.x, low.z, high.z, b.x, b.z);
      multiply<T>(c[n][1], low.y, high.y, low.w, high.w, b.y, b.w);
    }
  }
}
// For up to 4 rows of x: the product's two halves of 8 outputs become the two chains of the same 8, against
// which x stands in both halves of its 8 columns. c[i]: the low or high 8 outputs; its columns 0 .. 3 hold
// chain 0 in elements 0 and 1, columns 4 .. 7 chain 1 in elements 2 and 3. A lane's words are a fragment as
// they come: no moves, fewer registers. `x`: this lane's first word of its chain.
template <class T, class W>
__device__ __forceinline__ void multiply_step_few(float (&c)[1][2][4], const WeightFragment& w,
                                                  const char* x) {
#pragma unroll
  for (int part = 0; part < StoredWeights<T, W>::kParts; ++part) {
    const uint4 low = weights_part<T, W>(w.low, part), high = weights_part<T, W>(w.high, part);
    const uint32_t b0 = *reinterpret_cast<const uint32_t*>(x + part * 16),
                   b1 = *reinterpret_cast<const uint32_t*>(x + part * 16 + 8);
    multiply<T>(c[0][0], low.x, low.y, low.z, low.w, b0, b1);
    multiply<T>(c[0][1], high.x, high.y, high.z, high.w, b0, b1);
  }
}

// The columns of x that this block multiplies, as T, in shared memory: row r from `stage` + r * pitch on; 0
// from args.in on.
template <class T>
__device__ __forceinline__ void stage_rows(const SkinnyParams& p, char* stage, const void* x, int rows,
                                           int first_column, int columns) {
  const SkinnyArgs& a = p.args;
  const int vectors = columns / 8;
  const bool copies = a.x_vector && a.x_dtype != DType::kF32 &&
                      (a.x_dtype == DType::kBF16) == std::is_same_v<T, __nv_bfloat16>;
  int row = 0, vector = static_cast<int>(threadIdx.x);
  for (;; vector += static_cast<int>(blockDim.x)) {
    for (; vector >= vectors; vector -= vectors) ++row;
    if (row >= rows) break;
    const int column = first_column + vector * 8;
    const int64_t at = row * a.x_stride + column;
    char* to = stage + row * p.pitch + vector * 16;
    if (copies) {
      const int bytes = max(0, min(16, (a.in - column) * 2));
      copy_vector(to, static_cast<const T*>(x) + (bytes ? at : 0), bytes);
      continue;
    }
    if (a.x_vector && a.x_dtype == DType::kF32 && column + 8 <= a.in) {
      const float4* from = reinterpret_cast<const float4*>(static_cast<const float*>(x) + at);
      const float4 p0 = from[0], p1 = from[1];
      *reinterpret_cast<uint4*>(to) = {
          pack(from_f32<T>(p0.x), from_f32<T>(p0.y)), pack(from_f32<T>(p0.z), from_f32<T>(p0.w)),
          pack(from_f32<T>(p1.x), from_f32<T>(p1.y)), pack(from_f32<T>(p1.z), from_f32<T>(p1.w))};
    } else {
#pragma unroll 1
      for (int i = 0; i < 8; ++i) {
        reinterpret_cast<T*>(to)[i] = from_f32<T>(column + i < a.in ? load_f32(x, a.x_dtype, at + i) : 0.0f);
      }
    }
  }
  if (copies) await_copies();
}

// The norm's weight and bias at this block's columns, for stage_normed_rows(): constant, and so on their way
// before the previous kernel has ended. Weight and bias are 16-byte aligned.
template <NormKind kNorm>
__device__ __forceinline__ void stage_norm(const SkinnyParams& p, float* stage, int first_column,
                                           int columns) {
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x) * 4; i < columns; i += static_cast<int>(blockDim.x) * 4) {
    const int column = first_column + i, bytes = max(0, min(16, (p.args.in - column) * 4));
    copy_vector(stage + i, p.norm.weight + (bytes ? column : 0), bytes);
    if constexpr (kNorm == NormKind::kLayer)
      copy_vector(stage + columns + i, p.norm.bias + (bytes ? column : 0), bytes);
  }
}

// As stage_rows(), of x's only row, normed. Each block of a cluster takes the sums of the whole row: it comes
// from the second-level cache at once, where sums of parts would cross the cluster. Called by 256 threads.
template <class T, NormKind kNorm>
__device__ __forceinline__ void stage_normed_row(const SkinnyParams& p, char* shared, int first_column,
                                                 int columns) {
  const SkinnyArgs& a = p.args;
  const float* row = static_cast<const float*>(a.x);
  const int first = static_cast<int>(threadIdx.x) * 4;
  float4 kept[1];
  load_chunks(kept, row, a.in, a.x_vector);
  const NormFactors factors = row_factors<kNorm>(row, a.in, p.norm.eps, a.x_vector,
                                                 reinterpret_cast<float*>(shared + p.moments_at), kept);
  await_copies();  // stage_norm()'s, each thread its own
#pragma unroll 1
  for (int local = first; local < columns; local += kNormChunk) {
    const int column = first_column + local;
    const float* norm = reinterpret_cast<const float*>(shared + p.norm_at) + local;
    const float4 weight = *reinterpret_cast<const float4*>(norm);
    const float4 bias =
        kNorm == NormKind::kLayer ? *reinterpret_cast<const float4*>(norm + columns) : float4{};
    const float4 x = column == first ? kept[0] : load_columns(row, column, a.in, a.x_vector);
    const float4 y = normalise<kNorm>(x, factors, weight, bias);
    // Past the row's end, in its last vector too, W is 0 and these are finite.
    const uint2 packed = {pack(from_f32<T>(y.x), from_f32<T>(y.y)), pack(from_f32<T>(y.z), from_f32<T>(y.w))};
    *reinterpret_cast<uint2*>(shared + local * 2) = column < a.in ? packed : uint2{0, 0};
  }
}

}  // namespace bolide::cuda
