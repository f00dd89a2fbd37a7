// The products of a decode step: 1 to 8 rows of x. Bound by the chain of kernels rather than by their work,
// so everything that can be is done before the previous kernel has ended, and what remains is short: 32 KiB
// of W wait in each block's registers, x goes from memory straight into the products' fragments.
#include <algorithm>

#include "ops/cuda/device/activation.cuh"
#include "ops/cuda/device/any_dtype.cuh"
#include "ops/cuda/device/cluster.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/norm_row.cuh"
#include "ops/cuda/device/skinny_mma.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"
#include "ops/cuda/skinny_kernels.h"

namespace bolide::cuda {
namespace {

constexpr int kRows = 8;  // the columns of one product
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kSteps = 4;                               // k-steps of 32 columns that each warp takes
constexpr int kBlockColumns = kWarps * kSteps * kStep;  // 1024 columns of W to a block; a cluster shares more
constexpr int kPitch = 20;                              // floats of a row of sums: 16 and no bank conflicts

struct FewRows {
  const void* w;
  const void* x;
  void* y;
  const void* bias;
  const float* norm_weight;
  const float* norm_bias;
  int x_stride, y_stride;  // elements
  int rows, in, padded;
  int gates;  // rows of W that are gates, where it is gated
  float eps, inverse_in;
  Activation activation;
};

// A single row: each thread norms 4 columns, and the block meets in shared memory.
template <class T, NormKind kNorm>
__device__ __forceinline__ void norm_single_row(const FewRows& p, float4 weight, float4 shift, float* scratch,
                                                T* normed) {
  const int column = static_cast<int>(threadIdx.x) * 4;
  const bool inside = column < p.in;
  const float4 read =
      *reinterpret_cast<const float4*>(static_cast<const float*>(p.x) + (inside ? column : 0));
  const float4 x = inside ? read : float4{0, 0, 0, 0};
  float mean = 0, correction = 0, squares = 0;
  if constexpr (kNorm == NormKind::kLayer) {
    float sum[1] = {(x.x + x.y) + (x.z + x.w)};
    sum_over_block(sum, scratch);
    mean = sum[0] * p.inverse_in;
  }
  const float d[4] = {x.x - mean, x.y - mean, x.z - mean, x.w - mean};
  const float mine = inside ? fmaf(d[0], d[0], fmaf(d[1], d[1], fmaf(d[2], d[2], d[3] * d[3]))) : 0.0f;
  if constexpr (kNorm == NormKind::kLayer) {
    float second[2] = {inside ? (d[0] + d[1]) + (d[2] + d[3]) : 0.0f, mine};
    sum_over_block(second, scratch + kWarps);
    correction = second[0] * p.inverse_in;
    squares = second[1] - second[0] * correction;
  } else {
    float sum[1] = {mine};
    sum_over_block(sum, scratch);
    squares = sum[0];
  }
  const float scale = rsqrtf(fmaxf(squares * p.inverse_in, 0.0f) + p.eps);
  const auto made = [&](float off, float w, float b) {
    return from_f32<T>(fmaf((off - correction) * scale, w, b));
  };
  *reinterpret_cast<uint2*>(normed + column) = {
      pack(made(d[0], weight.x, shift.x), made(d[1], weight.y, shift.y)),
      pack(made(d[2], weight.z, shift.z), made(d[3], weight.w, shift.w))};
  __syncthreads();
}

// What a lane has of a tile's weights: of outputs lane / 4 and that + 8, from column k on. Gated, a tile has
// the 8 rows of W that are its gates, and after them the 8 that are its ups.
template <class T, bool kGated>
__device__ __forceinline__ void load_tile(WeightFragment (&w)[kSteps], const FewRows& p, int tile, int k) {
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
  const T* low =
      static_cast<const T*>(p.w) + static_cast<int64_t>(tile * (kGated ? 8 : 16) + g) * p.padded + k;
  const T* high = low + static_cast<int64_t>(kGated ? p.gates : 8) * p.padded;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    w[s].low = load_weights(low + s * kStep, k + s * kStep < p.padded);
    w[s].high = load_weights(high + s * kStep, k + s * kStep < p.padded);
  }
}

// A warp's sums into its part of shared memory: a lane has outputs g and g + 8 of rows 2t and 2t + 1.
__device__ __forceinline__ void put_sums(const float (&c)[2][4], float* part, int rows) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  float* own = part + 2 * t * kPitch + g;
  if (2 * t >= rows) return;
  own[0] = c[0][0] + c[1][0];
  own[8] = c[0][2] + c[1][2];
  own[kPitch] = c[0][1] + c[1][1];
  own[kPitch + 8] = c[0][3] + c[1][3];
}
// Over the warps.
__device__ __forceinline__ float add_sums(const float* parts, int row, int output) {
  const float* from = parts + row * kPitch + output;
  float v[kWarps];
#pragma unroll
  for (int i = 0; i < kWarps; ++i) v[i] = from[i * (kRows * kPitch)];
  return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

// One block takes 16 outputs and 1024 columns, each warp 128 of them. kSplit blocks of a cluster share the
// columns of 16 outputs; the first adds up. kAccumulate: y is fp32 and added to; else it is T.
// kNorm: of a single row. kGated: of a tile's outputs 8 are gates, and 8 their ups.
template <class T, NormKind kNorm, int kSplit, bool kAccumulate, bool kGated>
__global__ void __launch_bounds__(kThreads, 4) few_rows_kernel(const __grid_constant__ FewRows p) {
  __shared__ float sums[kWarps * kRows * kPitch];
  __shared__ float others[kSplit > 1 ? (kSplit - 1) * kRows * 16 : 1];
  constexpr bool kOneNormed = kNorm != NormKind::kNone;
  __shared__ alignas(16) float scratch[3 * kWarps];
  __shared__ alignas(16) T normed[kOneNormed ? kBlockColumns : 8];
  __shared__ uint64_t mailbox;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32, g = lane / 4,
            t = lane % 4;
  const int tile = static_cast<int>(blockIdx.x) / kSplit, rank = static_cast<int>(blockIdx.x) % kSplit;
  const int k = rank * kBlockColumns + warp * (kSteps * kStep) + t * 8;

  WeightFragment w[kSteps];
  load_tile<T, kGated>(w, p, tile, k);
  float4 weight, shift;
  if constexpr (kOneNormed) {
    const int column = thread * 4 < p.in ? thread * 4 : 0;
    weight = *reinterpret_cast<const float4*>(p.norm_weight + column);
    shift = kNorm == NormKind::kLayer ? *reinterpret_cast<const float4*>(p.norm_bias + column) : float4{};
  }
  if constexpr (kSplit > 1) {
    if (thread == 0) open_mailbox(&mailbox);
    __syncwarp();
    cluster_arrive();
  }
  // The output of the tile that this thread finishes.
  constexpr int kOutputs = kGated ? 8 : 16;
  const int row = thread / kOutputs, column = thread % kOutputs;
  const bool finishes = thread < kOutputs * p.rows && rank == 0;
  const int output = tile * kOutputs + column;
  const int64_t at = static_cast<int64_t>(row) * p.y_stride + output;
  float bias = 0, up_bias = 0, old = 0;
  if (finishes && p.bias) {
    bias = kAccumulate ? static_cast<const float*>(p.bias)[output]
                       : to_f32(static_cast<const T*>(p.bias)[output]);
    if constexpr (kGated) up_bias = to_f32(static_cast<const T*>(p.bias)[p.gates + output]);
  }

  wait_for_previous();
  let_next_start();
  if (kAccumulate && finishes) old = static_cast<const float*>(p.y)[at];
  const bool mine = g < p.rows;
  float c[2][4] = {};
  if constexpr (kOneNormed) {
    norm_single_row<T, kNorm>(p, weight, shift, scratch, normed);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      // The same for all 8 rows: what the other 7 give is not read.
      const uint4 b = *reinterpret_cast<const uint4*>(normed + k + s * kStep);
      multiply<T>(c[0], w[s].low.x, w[s].high.x, w[s].low.z, w[s].high.z, b.x, b.z);
      multiply<T>(c[1], w[s].low.y, w[s].high.y, w[s].low.w, w[s].high.w, b.y, b.w);
    }
  } else {
    const T* x = static_cast<const T*>(p.x) + (mine ? g : 0) * p.x_stride + k;
    uint4 b[kSteps];
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      b[s] =
          mine && k + s * kStep < p.in ? *reinterpret_cast<const uint4*>(x + s * kStep) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      multiply<T>(c[0], w[s].low.x, w[s].high.x, w[s].low.z, w[s].high.z, b[s].x, b[s].z);
      multiply<T>(c[1], w[s].low.y, w[s].high.y, w[s].low.w, w[s].high.w, b[s].y, b[s].w);
    }
  }

  put_sums(c, sums + warp * (kRows * kPitch), p.rows);
  __syncthreads();
  if constexpr (kSplit > 1) cluster_wait();
  if (thread >= kOutputs * p.rows) return;
  float sum = add_sums(sums, row, column);
  if constexpr (kSplit > 1) {
    if (rank != 0) {
      send(others + (rank - 1) * (kRows * 16) + thread, &mailbox, 0, sum);
      return;
    }
    if (thread == 0) expect_mail(&mailbox, (kSplit - 1) * p.rows * 16 * 4);
    await_mail(&mailbox, 0);
#pragma unroll
    for (int r = 1; r < kSplit; ++r) sum += others[(r - 1) * (kRows * 16) + thread];
  }
  sum += bias;
  if constexpr (kAccumulate) {
    static_cast<float*>(p.y)[at] = old + sum;
  } else {
    sum = activate(p.activation, sum);
    if constexpr (kGated) sum *= add_sums(sums, row, 8 + column) + up_bias;
    static_cast<T*>(p.y)[at] = from_f32<T>(sum);
  }
}

constexpr int kWideGroups = 2;  // of 16 outputs, in a block that norms rows
constexpr int kWideThreads = kWideGroups * kThreads;
constexpr int kRowWarps = kWideGroups;                        // that norm a row together
constexpr int kRowVectors = kBlockColumns / kRowWarps / 128;  // of 4 columns that a lane has of it
constexpr int kNormedPitch = kBlockColumns + 32;  // elements: 64 bytes more, so that no banks conflict

// Mean of a part of a row, and the sum of squares about it.
struct Moments {
  float mean, squares;
};

// The moments of what a warp's lanes have of a row, of which `count` columns are inside; elements that are
// not are 0 in x and `inside` says so. Of an RMS norm the mean counts as 0.
template <NormKind kNorm>
__device__ __forceinline__ Moments moments_of(const float4 (&x)[kRowVectors],
                                              const bool (&inside)[kRowVectors], int count) {
  constexpr bool kMean = kNorm == NormKind::kLayer;
  const float inverse = __fdividef(1.0f, static_cast<float>(max(count, 1)));
  float sum = 0;
  if constexpr (kMean) {
#pragma unroll
    for (const float4& v : x) sum += (v.x + v.y) + (v.z + v.w);
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  }
  const float mean = sum * inverse;
  float off = 0, squares = 0;  // what the mean's rounding left, and the squares
#pragma unroll
  for (int i = 0; i < kRowVectors; ++i) {
    const float4 v = x[i];
    const float d[4] = {v.x - mean, v.y - mean, v.z - mean, v.w - mean};
    if constexpr (kMean) off += inside[i] ? (d[0] + d[1]) + (d[2] + d[3]) : 0.0f;
    squares += inside[i] ? fmaf(d[0], d[0], fmaf(d[1], d[1], fmaf(d[2], d[2], d[3] * d[3]))) : 0.0f;
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    if constexpr (kMean) off += __shfl_xor_sync(0xffffffffu, off, offset);
    squares += __shfl_xor_sync(0xffffffffu, squares, offset);
  }
  const float correction = off * inverse;
  return {mean + correction, squares - off * correction};
}

// 2 to 8 rows of fp32 x through their norm. One block takes 32 outputs and all columns, up to 1024: half as
// many blocks as few_rows_kernel() would have, which together read half as much of x, and each norms its rows
// but once: 16 warps, two to a row. 80 registers, so that nothing is spilled after the wait: with 64 a
// layer's four products of 8 rows take an H200 15.8 us at bloom-560m's shape, so 12.2.
template <class T, NormKind kNorm, bool kGated>
__global__ void __maxnreg__(80) normed_rows_kernel(const __grid_constant__ FewRows p) {
  __shared__ alignas(16) float norm[2 * kBlockColumns];
  __shared__ alignas(16) T normed[kRows * kNormedPitch];
  __shared__ float sums[kWideGroups * kWarps * kRows * kPitch];
  __shared__ alignas(8) Moments moments[kRows][kRowWarps];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32, g = lane / 4,
            t = lane % 4;
  const int group = warp / kWarps, tile = static_cast<int>(blockIdx.x) * kWideGroups + group;
  const int k = warp % kWarps * (kSteps * kStep) + t * 8;

  WeightFragment w[kSteps];
  load_tile<T, kGated>(w, p, tile, k);
  {
    const int i = thread * 4, half = i / kBlockColumns, column = i % kBlockColumns;
    const float* from = half == 0 ? p.norm_weight : p.norm_bias;
    if (kNorm == NormKind::kLayer || half == 0)
      copy_vector(norm + i, from + (column < p.in ? column : 0), column < p.in ? 16 : 0);
  }
  constexpr int kOutputs = kGated ? 8 : 16;
  const int place = thread % kThreads, column_of_tile = place % kOutputs;
  const bool finishes = place < kOutputs * p.rows;
  const int output = tile * kOutputs + column_of_tile;
  const T* const biases = finishes ? static_cast<const T*>(p.bias) : nullptr;
  const float bias = biases ? to_f32(biases[output]) : 0.0f;
  const float up_bias = kGated && biases ? to_f32(biases[p.gates + output]) : 0.0f;
  // Rows past the last are norms of the last one that nobody reads.
  const int row = warp / kRowWarps, part = warp % kRowWarps;
  const int first = part * (kBlockColumns / kRowWarps) + lane * 4;
  const float* from = static_cast<const float*>(p.x) + min(row, p.rows - 1) * p.x_stride + first;
  bool inside[kRowVectors];
#pragma unroll
  for (int i = 0; i < kRowVectors; ++i) inside[i] = first + i * 128 < p.in;
  const int half = kBlockColumns / kRowWarps;
  const int count = min(max(p.in - part * half, 0), half), other = p.in - count;

  wait_for_previous();
  let_next_start();
  float4 x[kRowVectors];
#pragma unroll
  for (int i = 0; i < kRowVectors; ++i) {
    const float4 read = *reinterpret_cast<const float4*>(from + (inside[i] ? i * 128 : -first));
    x[i] = inside[i] ? read : float4{0, 0, 0, 0};
  }
  const Moments own = moments_of<kNorm>(x, inside, count);
  if (lane == 0) moments[row][part] = own;
  await_copies();
  __syncthreads();
  const Moments theirs = moments[row][1 - part];
  static_assert(kRowWarps == 2);
  const float apart = theirs.mean - own.mean, share = static_cast<float>(other) * p.inverse_in;
  const float mean = fmaf(apart, share, own.mean);
  const float squares = own.squares + theirs.squares + apart * apart * (share * static_cast<float>(count));
  const float scale = rsqrtf(fmaxf(squares * p.inverse_in, 0.0f) + p.eps);
#pragma unroll
  for (int i = 0; i < kRowVectors; ++i) {
    const int column = first + i * 128;
    const float4 weight = *reinterpret_cast<const float4*>(norm + column);
    const float4 shift = kNorm == NormKind::kLayer
                             ? *reinterpret_cast<const float4*>(norm + kBlockColumns + column)
                             : float4{};
    *reinterpret_cast<uint2*>(normed + row * kNormedPitch + column) = {
        pack(from_f32<T>(fmaf((x[i].x - mean) * scale, weight.x, shift.x)),
             from_f32<T>(fmaf((x[i].y - mean) * scale, weight.y, shift.y))),
        pack(from_f32<T>(fmaf((x[i].z - mean) * scale, weight.z, shift.z)),
             from_f32<T>(fmaf((x[i].w - mean) * scale, weight.w, shift.w)))};
  }
  __syncthreads();
  float c[2][4] = {};
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const uint4 b = *reinterpret_cast<const uint4*>(normed + g * kNormedPitch + k + s * kStep);
    multiply<T>(c[0], w[s].low.x, w[s].high.x, w[s].low.z, w[s].high.z, b.x, b.z);
    multiply<T>(c[1], w[s].low.y, w[s].high.y, w[s].low.w, w[s].high.w, b.y, b.w);
  }
  put_sums(c, sums + warp * (kRows * kPitch), p.rows);
  __syncthreads();
  if (!finishes) return;
  const float* parts = sums + group * (kWarps * kRows * kPitch);
  const int row_of_y = place / kOutputs;
  float sum = activate(p.activation, add_sums(parts, row_of_y, column_of_tile) + bias);
  if constexpr (kGated) sum *= add_sums(parts, row_of_y, 8 + column_of_tile) + up_bias;
  static_cast<T*>(p.y)[static_cast<int64_t>(row_of_y) * p.y_stride + output] = from_f32<T>(sum);
}

constexpr int kLongSteps = 16;  // k-steps of a warp where a block takes 4096 columns
constexpr int kLongColumns = kWarps * kLongSteps * kStep;
constexpr int kLongRows = 4;

// Up to 4 rows through a long matrix, added to fp32 y, without a cluster: one block takes 8 outputs and all
// columns. The 16 rows of a product are 8 outputs twice, for words 0 and 2 and for words 1 and 3 of each
// lane's four; x stands in both halves of its 8 columns, which so are 4 rows twice. The blocks are few enough
// to wait beside two blocks of the kernel before.
template <class T>
__global__ void __launch_bounds__(kThreads, 2) long_rows_kernel(const __grid_constant__ FewRows p) {
  __shared__ alignas(16) T staged[kLongRows][kLongColumns];
  __shared__ float sums[kWarps][kLongRows][2][8];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32, g = lane / 4,
            t = lane % 4;
  const int k = warp * (kLongSteps * kStep) + t * 8;
  uint4 w[kLongSteps];
  const T* row = static_cast<const T*>(p.w) + static_cast<int64_t>(blockIdx.x * 8 + g) * p.padded + k;
#pragma unroll
  for (int s = 0; s < kLongSteps; ++s) w[s] = load_weights(row + s * kStep, k + s * kStep < p.padded);
  const bool finishes = thread < 8 * p.rows;
  const int output = static_cast<int>(blockIdx.x) * 8 + thread % 8;
  float* y = static_cast<float*>(p.y) + static_cast<int64_t>(thread / 8) * p.y_stride + output;
  const float bias = finishes && p.bias ? static_cast<const float*>(p.bias)[output] : 0.0f;

  wait_for_previous();
  let_next_start();
  for (int r = 0; r < p.rows; ++r) {
#pragma unroll
    for (int i = 0; i < kLongColumns / (8 * kThreads); ++i) {
      const int column = (i * kThreads + thread) * 8, bytes = column < p.in ? 16 : 0;
      copy_vector(&staged[r][column], static_cast<const T*>(p.x) + r * p.x_stride + (bytes ? column : 0),
                  bytes);
    }
  }
  const float old = finishes ? *y : 0.0f;
  await_copies();
  __syncthreads();

  // Rows past the last give sums that nobody reads.
  const uint4* x = reinterpret_cast<const uint4*>(&staged[min(g % kLongRows, p.rows - 1)][k]);
  float c[2][4] = {};
#pragma unroll
  for (int s = 0; s < kLongSteps; ++s) {
    const uint4 b = x[s * (kStep / 8)];
    multiply<T>(c[s % 2], w[s].x, w[s].y, w[s].z, w[s].w, g < kLongRows ? b.x : b.y,
                g < kLongRows ? b.z : b.w);
  }
  // Rows 0 to 7 of the product count in columns 0 to 3, rows 8 to 15 in columns 4 to 7.
  const int half = t / 2, column = 2 * (t % 2);
  sums[warp][column][half][g] = half == 0 ? c[0][0] + c[1][0] : c[0][2] + c[1][2];
  sums[warp][column + 1][half][g] = half == 0 ? c[0][1] + c[1][1] : c[0][3] + c[1][3];
  __syncthreads();
  if (!finishes) return;
  float v[kWarps];
#pragma unroll
  for (int i = 0; i < kWarps; ++i)
    v[i] = sums[i][thread / 8][0][thread % 8] + sums[i][thread / 8][1][thread % 8];
  *y = old + (((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]))) + bias;
}

template <class T, NormKind kNorm, int kSplit, bool kAccumulate, bool kGated = false>
void launch_few(const Context& context, const FewRows& p, int tiles) {
  launch(context, "few_rows_matmul", few_rows_kernel<T, kNorm, kSplit, kAccumulate, kGated>,
         {.grid = dim3(static_cast<unsigned>(tiles * kSplit)), .block = dim3(kThreads), .cluster_x = kSplit},
         p);
}

template <class T, NormKind kNorm, bool kGated>
bool launch_normed(const Context& context, const FewRows& p, int tiles) {
  if (p.rows == 1) {
    launch_few<T, kNorm, 1, false, kGated>(context, p, tiles);
    return true;
  }
  if (tiles % kWideGroups != 0) return false;
  launch(context, "few_rows_matmul", normed_rows_kernel<T, kNorm, kGated>,
         {.grid = dim3(static_cast<unsigned>(tiles / kWideGroups)), .block = dim3(kWideThreads)}, p);
  return true;
}

// Whose columns all are one block's.
template <class T, bool kGated>
bool launch_whole(const Context& context, const FewRows& p, int tiles, NormKind norm) {
  if (norm == NormKind::kRms) return launch_normed<T, NormKind::kRms, kGated>(context, p, tiles);
  if (norm == NormKind::kLayer) return launch_normed<T, NormKind::kLayer, kGated>(context, p, tiles);
  launch_few<T, NormKind::kNone, 1, false, kGated>(context, p, tiles);
  return true;
}

template <class T>
bool launch_split(const Context& context, const FewRows& p, int tiles, NormKind norm, bool accumulate) {
  const int split = (p.in + kBlockColumns - 1) / kBlockColumns;
  if (!accumulate) {
    if (split != 1) return false;
    return p.gates > 0 ? launch_whole<T, true>(context, p, tiles, norm)
                       : launch_whole<T, false>(context, p, tiles, norm);
  }
  if (norm != NormKind::kNone) return false;
  if (split > 1 && p.in <= kLongColumns && p.rows <= kLongRows && 2 * tiles <= multiprocessors()) {
    launch(context, "few_rows_matmul", long_rows_kernel<T>,
           {.grid = dim3(static_cast<unsigned>(2 * tiles)), .block = dim3(kThreads)}, p);
  } else if (split == 1) {
    launch_few<T, NormKind::kNone, 1, true>(context, p, tiles);
  } else if (split == 2) {
    launch_few<T, NormKind::kNone, 2, true>(context, p, tiles);
  } else if (split <= 4) {
    launch_few<T, NormKind::kNone, 4, true>(context, p, tiles);
  } else {
    return false;
  }
  return true;
}

}  // namespace

bool few_rows_matmul(const Context& context, const MatmulArgs& args) {
  const SkinnyArgs a = skinny_args(args);
  const NormKind kind = norm_kind(args.norm);
  const bool norm = kind != NormKind::kNone;
  const DType dtype = args.w->dtype;
  const int tiles = a.out / 16, split = (a.in + kBlockColumns - 1) / kBlockColumns;
  const auto aligned = [](const View& v) { return reinterpret_cast<uintptr_t>(v.data) % 16 == 0; };
  // All blocks at once, or they would not wait for anything.
  const bool one_wave = tiles * split <= 3 * multiprocessors();
  if (!has_clusters() || a.tokens > kRows || dtype == DType::kF32 || dtype == DType::kI8 || a.out % 16 != 0 ||
      a.in % 8 != 0 || !a.x_vector || !one_wave || a.x_dtype != (norm ? DType::kF32 : dtype) ||
      a.y_dtype != (a.accumulate ? DType::kF32 : dtype) ||
      (norm && !(aligned(args.norm.weight) && aligned(args.norm.bias)))) {
    return false;
  }
  const FewRows p = {.w = a.w,
                     .x = a.x,
                     .y = a.y,
                     .bias = a.bias,
                     .norm_weight = norm ? args.norm.weight.as<float>() : nullptr,
                     .norm_bias = static_cast<const float*>(args.norm.bias.data),
                     .x_stride = static_cast<int>(a.x_stride),
                     .y_stride = static_cast<int>(a.y_stride),
                     .rows = a.tokens,
                     .in = a.in,
                     .padded = a.padded,
                     .gates = a.gated ? a.out / 2 : 0,
                     .eps = args.norm.eps,
                     .inverse_in = 1.0f / static_cast<float>(a.in),
                     .activation = a.activation};
  return dtype == DType::kF16 ? launch_split<__half>(context, p, tiles, kind, a.accumulate)
                              : launch_split<__nv_bfloat16>(context, p, tiles, kind, a.accumulate);
}

}  // namespace bolide::cuda
