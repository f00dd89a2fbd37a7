// Norms of q and k: of each head by a warp, of whole rows by a block.
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/norm.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

// q or k.
struct Heads {
  void* data;
  int64_t stride;  // elements
  const float* weight;
  const float* bias;  // of an RMS norm null
  int step;           // of the parameters, from head to head: 0 where all have the same
};
struct HeadNorms {
  Heads of[2];
  int q_heads, heads;  // of q, of both
  int width;           // of a head of q
  int k_width;         // of one of k: that of whole rows may differ
  float eps[2];
  const float* squares;  // [rows, 2] or null
  int64_t squares_stride;
  float inverse[2];  // 1 / the elements that they are of
};

// The sum over a warp, or over the block, in all of its threads; in one order.
template <bool kBlock>
__device__ __forceinline__ float sum_over_team(float value, float* scratch) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(~0u, value, offset);
  if constexpr (!kBlock) return value;
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += scratch[i];
  return sum;
}

// The sum of f(element) over a head.
template <bool kBlock, class T, class F>
__device__ __forceinline__ float sum_head(const T* x, int width, float* scratch, F&& f) {
  constexpr int kTeam = kBlock ? kThreads : 32;
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x % kTeam); i < width; i += kTeam) sum += f(to_f32(x[i]));
  return sum_over_team<kBlock>(sum, scratch);
}

// Grid: x = rows, y = heads, kWarps at a time; of whole rows y = q and k.
template <class T, bool kRms, bool kBlock>
__global__ void __launch_bounds__(kThreads) head_norm_kernel(const __grid_constant__ HeadNorms p) {
  __shared__ float scratch[kWarps];
  constexpr int kTeam = kBlock ? kThreads : 32;
  wait_for_previous();
  let_next_start();
  const int item = static_cast<int>(kBlock ? blockIdx.y : blockIdx.y * kWarps + threadIdx.x / 32);
  if (item >= p.heads) return;
  const int which = item >= p.q_heads, head = which ? item - p.q_heads : item;
  const int width = which ? p.k_width : p.width;
  const Heads& of = p.of[which];
  T* x = static_cast<T*>(of.data) + blockIdx.x * of.stride + static_cast<int64_t>(head) * width;
  float mean = 0, scale = 0;
  if constexpr (kRms) {
    const float squares = p.squares ? p.squares[blockIdx.x * p.squares_stride + which]
                                    : sum_head<kBlock>(x, width, scratch, [](float v) { return v * v; });
    scale = rsqrtf(__fmul_rn(squares, p.inverse[which]) + p.eps[which]);
  } else {
    mean = __fmul_rn(sum_head<kBlock>(x, width, scratch, [](float v) { return v; }), p.inverse[which]);
    const float squares =
        sum_head<kBlock>(x, width, scratch, [mean](float v) { return (v - mean) * (v - mean); });
    scale = rsqrtf(__fmul_rn(squares, p.inverse[which]) + p.eps[which]);
  }
  const float* weight = of.weight + head * of.step;
  const float* bias = kRms ? nullptr : of.bias + head * of.step;
  for (int i = static_cast<int>(threadIdx.x % kTeam); i < width; i += kTeam) {
    const float normal = __fmul_rn(to_f32(x[i]) - mean, scale);
    x[i] = from_f32<T>(kRms ? __fmul_rn(normal, weight[i]) : fmaf(normal, weight[i], bias[i]));
  }
}

struct Squares {
  const void *q, *k;
  int64_t q_stride, k_stride;
  int q_width, k_width;
  float* y;
};

// Grid: x = rows, y = q and k.
template <class T>
__global__ void __launch_bounds__(kThreads) row_squares_kernel(const __grid_constant__ Squares p) {
  __shared__ float scratch[kWarps];
  wait_for_previous();
  let_next_start();
  const bool k = blockIdx.y == 1;
  const T* x = static_cast<const T*>(k ? p.k : p.q) + blockIdx.x * (k ? p.k_stride : p.q_stride);
  const float sum = sum_head<true>(x, k ? p.k_width : p.q_width, scratch, [](float v) { return v * v; });
  if (threadIdx.x == 0) p.y[2 * blockIdx.x + blockIdx.y] = sum;
}

}  // namespace

void head_norm(const Context& context, const HeadNormArgs& args) {
  const bool whole = args.head_size == 0, rms = args.q_norm.rms;
  const auto width_of = [&](const View& x) { return static_cast<int>(whole ? x.shape[1] : args.head_size); };
  const auto heads_of = [&](const View& x, const Norm& norm) {
    const int width = width_of(x);
    return Heads{.data = x.data,
                 .stride = x.row_stride,
                 .weight = norm.weight.as<float>(),
                 .bias = static_cast<const float*>(norm.bias.data),
                 .step = norm.weight.shape[0] == width ? 0 : width};
  };
  HeadNorms p = {.of = {heads_of(args.q, args.q_norm), heads_of(args.k, args.k_norm)},
                 .q_heads = static_cast<int>(args.q.shape[1]) / width_of(args.q),
                 .heads = 0,
                 .width = width_of(args.q),
                 .k_width = width_of(args.k),
                 .eps = {args.q_norm.eps, args.k_norm.eps},
                 .squares = static_cast<const float*>(args.squares.data),
                 .squares_stride = args.squares.row_stride,
                 .inverse = {}};
  p.heads = p.q_heads + static_cast<int>(args.k.shape[1]) / p.k_width;
  const int64_t ranks = args.squares.empty() ? 1 : args.ranks;
  p.inverse[0] = 1.0f / static_cast<float>(p.width * ranks);
  p.inverse[1] = 1.0f / static_cast<float>(p.k_width * ranks);
  const int blocks = whole ? p.heads : (p.heads + kWarps - 1) / kWarps;
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned>(args.q.shape[0]), static_cast<unsigned>(blocks)),
      .block = dim3(kThreads),
      .division = division_for(args.q.shape[0])};
  dispatch_float(args.q.dtype, [&]<class Stored>() {
    using T = device_t<Stored>;
    const auto with = [&]<bool kRms>() {
      launch(context, "head_norm", whole ? head_norm_kernel<T, kRms, true> : head_norm_kernel<T, kRms, false>,
             shape, p);
    };
    rms ? with.template operator()<true>() : with.template operator()<false>();
  });
}

void row_squares(const Context& context, const RowSquaresArgs& args) {
  const Squares p = {.q = args.q.data,
                     .k = args.k.data,
                     .q_stride = args.q.row_stride,
                     .k_stride = args.k.row_stride,
                     .q_width = static_cast<int>(args.q.shape[1]),
                     .k_width = static_cast<int>(args.k.shape[1]),
                     .y = args.y.as<float>()};
  dispatch_float(args.q.dtype, [&]<class Stored>() {
    launch(context, "row_squares", row_squares_kernel<device_t<Stored>>,
           {.grid = dim3(static_cast<unsigned>(args.q.shape[0]), 2),
            .block = dim3(kThreads),
            .division = division_for(args.q.shape[0])},
           p);
  });
}

}  // namespace bolide::cuda
