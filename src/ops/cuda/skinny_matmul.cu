#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "ops/cuda/device/skinny_mma.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"

namespace bolide::cuda {
namespace {

// This block's rank in its cluster, and rows of x.
__device__ __forceinline__ int rank_of(const SkinnyParams& p) {
  return static_cast<int>(blockIdx.x) & (p.split() - 1);
}
template <int kRows>
__device__ __forceinline__ int first_row() {
  return static_cast<int>(blockIdx.y) * kRows;
}
template <int kRows>
__device__ __forceinline__ int rows_of(const SkinnyParams& p) {
  return min(kRows, p.args.tokens - first_row<kRows>());
}

// Sums a tile over the warps and, in a cluster, over its blocks; finishes and stores it.
// Gated, a tile has the 8 rows of W that are its gates and the 8 that are its ups; in the sums' order of
// outputs each gate is followed by its up.
template <int kRows, bool kScaled, bool kGated>
struct Reducer {
  using S = SkinnyShape<kRows>;
  static constexpr int kPerThread = S::kOutputs > 256 ? S::kOutputs / 256 : 1;

  const SkinnyParams& p;
  char* shared;
  int phase = 0;  // of the mailbox

  // Outputs of a tile are numbered row of x * 16 + output; block `rank` of the cluster finishes share() of
  // them from rank * share() on, thread t of the tile's 256 those at t, t + 256, ...
  __device__ __forceinline__ int share() const { return S::kOutputs >> p.split_log2; }
  // Columns of y.
  __device__ __forceinline__ int outputs() const { return kGated ? p.args.out / 2 : p.args.out; }
  // Index in y of this thread's i-th output, or -1; of a gate and its up that of the gate's thread.
  __device__ __forceinline__ int64_t index(int tile, int i, int thread) const {
    const int place = i * 256 + thread, number = rank_of(p) * share() + place;
    const int row = number / kTileRows, of_tile = number % kTileRows;
    const int output = kGated ? tile * (kTileRows / 2) + of_tile / 2 : tile * kTileRows + of_tile;
    if (place >= share() || row >= rows_of<kRows>(p) || output >= outputs()) return -1;
    if (kGated && of_tile % 2 != 0) return -1;
    return (first_row<kRows>() + row) * p.args.y_stride + output;
  }
  // This thread's row of W, or the last one.
  __device__ __forceinline__ int row_of_w(int tile) const {
    const int place = (rank_of(p) * share() + thread_index()) % kTileRows;
    return kGated ? min(tile * (kTileRows / 2) + place / 2, outputs() - 1) + place % 2 * outputs()
                  : min(tile * kTileRows + place, p.args.out - 1);
  }
  // What the tile's sums will meet, each thread its own: early, so that it is there when they are, and into
  // shared memory, for want of registers. The bias is constant, y is not.
  __device__ __forceinline__ uint32_t* bias_slot() const {
    return reinterpret_cast<uint32_t*>(shared + p.bias_at) + thread_index();
  }
  __device__ __forceinline__ float* old_slot(int i) const {
    const int all = thread_index();
    return reinterpret_cast<float*>(shared + p.old_at) + (all / 256 * kPerThread + i) * 256 + all % 256;
  }
  __device__ __forceinline__ uintptr_t bias_address(int tile) const {
    return reinterpret_cast<uintptr_t>(p.args.bias) +
           row_of_w(tile) * (p.args.y_dtype == DType::kF32 ? 4 : 2);
  }
  // Copies are of aligned words: of two 16-bit elements both come.
  __device__ __forceinline__ void fetch_bias(int tile) {
    if (p.args.bias) copy_word(bias_slot(), reinterpret_cast<const void*>(bias_address(tile) / 4 * 4));
  }
  __device__ __forceinline__ float* scale_slot() const {
    return reinterpret_cast<float*>(shared + p.scale_at) + thread_index();
  }
  __device__ __forceinline__ void fetch_scale(int tile) {
    if constexpr (kScaled) copy_word(scale_slot(), p.args.scales + row_of_w(tile));
  }
  __device__ __forceinline__ float bias(int tile) const {
    return bits_to_f32(*bias_slot() >> bias_address(tile) % 4 * 8, p.args.y_dtype);
  }
  __device__ __forceinline__ void fetch_old(int tile) {
    if (!p.args.accumulate) return;
    const int thread = thread_index() % 256;
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const int64_t at = index(tile, i, thread);
      if (at >= 0) copy_word(old_slot(i), static_cast<const float*>(p.args.y) + at);
    }
  }

  __device__ __forceinline__ void finish(int tile, int i, int thread, float sum) {
    const int64_t at = index(tile, i, thread);
    if constexpr (kGated) {
      if constexpr (kScaled) sum *= *scale_slot();
      if (p.args.bias) sum += bias(tile);
      const float up = __shfl_xor_sync(0xffffffffu, sum, 1);
      if (at >= 0) store_f32(p.args.y, p.args.y_dtype, at, activate(p.args.activation, sum) * up);
      return;
    }
    if (at < 0) return;
    if constexpr (kScaled) sum *= *scale_slot();
    if (p.args.bias) sum += bias(tile);
    sum = activate(p.args.activation, sum);
    if (p.args.accumulate) sum += *old_slot(i);
    store_f32(p.args.y, p.args.y_dtype, at, sum);
  }

  // c: this warp's sums, in two chains. Called by all threads of the block, of the cluster.
  __device__ __forceinline__ void operator()(int tile, const float (&c)[S::kColumns][2][4], bool more) {
    const int all = thread_index(), thread = all % 256, group = S::kGroups == 1 ? 0 : all / 256;
    float* exchange = reinterpret_cast<float*>(shared + p.exchange_at) + group * S::kOutputs;
    uint64_t* mailbox = reinterpret_cast<uint64_t*>(shared + p.mailboxes_at) + group;
    float total[kPerThread] = {};
    if (p.split_log2 > 0) cluster_wait();  // all blocks have read the last tile's sums
#pragma unroll
    for (int round = 0; round < S::kRounds; ++round) {
      const float sum = sum_warps(c, round, group, thread);
      const int number = round * 256 + thread, place = number & (share() - 1);
      if (p.split_log2 == 0) {
        total[round] = sum;
      } else if (number < min(S::kOutputs, rows_of<kRows>(p) * kTileRows)) {
        send(exchange + rank_of(p) * share() + place, mailbox,
             number >> (__popc(S::kOutputs - 1) - p.split_log2), sum);
      }
    }
    if (p.split_log2 > 0) {
      const int mail = min(share(), rows_of<kRows>(p) * kTileRows - rank_of(p) * share());
      if (mail > 0) {
        if (thread == 0) expect_mail(mailbox, mail * p.split() * 4);
        await_mail(mailbox, phase);
        phase ^= 1;
      }
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
        const int place = i * 256 + thread;
        if (place >= mail) continue;
        float v[8];
#pragma unroll
        for (int r = 0; r < 8; ++r) v[r] = r < p.split() ? exchange[r * share() + place] : 0.0f;
        total[i] = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
      }
    }
    await_copies();
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) finish(tile, i, thread, total[i]);
    if (p.split_log2 > 0 && more) {
      __syncwarp();
      cluster_arrive();
    }
  }

  // Of this thread's output in a round of kRoundRows, over the block's warps.
  __device__ __forceinline__ float sum_warps(const float (&c)[S::kColumns][2][4], int round, int group,
                                             int thread) {
    const int lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
    float* partial = reinterpret_cast<float*>(shared + p.partial_at) + group * kTileWarps * S::kWarpPartial;
    float* own = partial + warp * S::kWarpPartial + 2 * t * S::kPitch + g;
    if constexpr (kRows < 8) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float v0 = c[0][i][0] + __shfl_xor_sync(0xffffffffu, c[0][i][2], 2);
        const float v1 = c[0][i][1] + __shfl_xor_sync(0xffffffffu, c[0][i][3], 2);
        if (t < 2) own[8 * i] = v0, own[S::kPitch + 8 * i] = v1;
      }
    } else {
#pragma unroll
      for (int j = 0; j < S::kRoundRows / 8; ++j) {
        const float(&a)[2][4] = c[round * (S::kRoundRows / 8) + j];
        float* to = own + j * 8 * S::kPitch;
        to[0] = a[0][0] + a[1][0];
        to[S::kPitch] = a[0][1] + a[1][1];
        to[8] = a[0][2] + a[1][2];
        to[S::kPitch + 8] = a[0][3] + a[1][3];
      }
    }
    __syncthreads();
    float sum = 0;
    if (thread < S::kRoundRows * kTileRows) {
      const int output = thread % kTileRows;
      const float* from = partial + thread / kTileRows * S::kPitch +
                          (kGated ? output / 2 + output % 2 * (kTileRows / 2) : output);
      float v[kTileWarps];
#pragma unroll
      for (int i = 0; i < kTileWarps; ++i) v[i] = from[i * S::kWarpPartial];
      sum = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    }
    __syncthreads();  // before the next round's or tile's sums
    return sum;
  }
};

template <class T, class W, int kRows, NormKind kNorm, bool kGated>
__global__ void __launch_bounds__(SkinnyShape<kRows>::kThreads, SkinnyShape<kRows>::kBlocks)
    skinny_kernel(const __grid_constant__ SkinnyParams p) {
  using S = SkinnyShape<kRows>;
  using Stored = StoredWeights<T, W>;
  constexpr int kStep = Stored::kStep, kLaneColumns = Stored::kLaneColumns;
  extern __shared__ __align__(128) char shared[];
  if (p.split_log2 > 0) {
    if (thread_index() < kMailboxes)
      open_mailbox(reinterpret_cast<uint64_t*>(shared + p.mailboxes_at) + thread_index());
    __syncwarp();
    cluster_arrive();
  }
  const SkinnyArgs& a = p.args;
  // This warp's k-steps begin here; W's and x's columns of this lane within them kLaneColumns * (lane % 4)
  // further on.
  const auto step_of = [&](int thread) {
    return (rank_of(p) * kTileWarps + thread / 32 % kTileWarps) * p.steps;
  };
  const auto group_of = [&](int thread) { return S::kGroups == 1 ? 0 : thread / 256; };
  const W *low, *high;
  WeightFragment w[kUnitSteps];
  // Loads from step `first` of a tile on; nothing from step `end` on or past W's columns.
  const auto seek = [&](int tile, int first) {
    const int thread = thread_index(), half = a.out / 2;
    const int row = tile * (kGated ? kTileRows / 2 : kTileRows) + thread % 32 / 4;
    const W* begin =
        static_cast<const W*>(a.w) + (step_of(thread) + first) * kStep + thread % 4 * kLaneColumns;
    low = begin + static_cast<int64_t>(min(row, (kGated ? half : a.out) - 1)) * a.padded;
    high = kGated ? low + static_cast<int64_t>(half) * a.padded
                  : begin + static_cast<int64_t>(min(row + 8, a.out - 1)) * a.padded;
  };
  const auto load = [&](int s, bool valid) {
    w[s].low = load_weights(low + s * kStep, valid);
    w[s].high = load_weights(high + s * kStep, valid);
  };

  const int stride = (static_cast<int>(gridDim.x) >> p.split_log2) * S::kGroups;
  int base = (static_cast<int>(blockIdx.x) >> p.split_log2) * S::kGroups,
      first = 0;  // the unit that was loaded
  // Of this warp's k-steps from `first` on, those that are W's at this lane's columns.
  const auto lane_steps = [&](int first) {
    const int thread = thread_index();
    return min(p.steps, (a.padded - thread % 4 * kLaneColumns + kStep - 1) / kStep - step_of(thread)) - first;
  };
  {
    const int valid = lane_steps(0);
    seek(base + group_of(thread_index()), 0);
#pragma unroll
    for (int s = 0; s < kUnitSteps; ++s) load(s, s < valid);
  }
  Reducer<kRows, std::is_same_v<W, int8_t>, kGated> reduce{p, shared};
  reduce.fetch_bias(base + group_of(thread_index()));
  reduce.fetch_scale(base + group_of(thread_index()));
  const int columns = kTileWarps * p.steps * kStep;  // of this block
  constexpr bool kNormed = kNorm != NormKind::kNone;
  if constexpr (kNormed)
    stage_norm<kNorm>(p, reinterpret_cast<float*>(shared + p.norm_at), rank_of(p) * columns, columns);
  wait_for_previous();
  // Not before: a kernel further on would ask for its weights while this one waits for its few bytes of x.
  let_next_start();
  reduce.fetch_old(base + group_of(thread_index()));
  if constexpr (kNormed) {
    stage_normed_row<T, kNorm>(p, shared, rank_of(p) * columns, columns);
  } else {
    const int64_t skipped = first_row<kRows>() * a.x_stride * (a.x_dtype == DType::kF32 ? 4 : 2);
    stage_rows<T>(p, shared, static_cast<const char*>(a.x) + skipped, rows_of<kRows>(p), rank_of(p) * columns,
                  columns);
  }
  __syncthreads();

  // What this lane multiplies of x, in the first column. Rows past the last give sums that no one reads: with
  // one column there is no room for them, and the last serves instead.
  const auto place_in_x = [&](int step) {
    const int thread = thread_index(), g = thread % 32 / 4;
    const int row = kRows <= 8 ? min(g % kRows, rows_of<kRows>(p) - 1) : g, chain = kRows < 8 ? g / 4 : 0;
    return shared + row * p.pitch + (thread / 32 % kTileWarps * p.steps + step) * (kStep * 2) +
           thread % 4 * (kLaneColumns * 2) + chain * 4;
  };
  float c[S::kColumns][2][4] = {};
  for (;;) {
    const int tile = base, done = first;
    first += kUnitSteps;
    if (first >= p.steps) first = 0, base += stride;
    const int next_steps = base < p.tiles ? lane_steps(first) : 0;
    const char* in_x = place_in_x(done);
    seek(base + group_of(thread_index()), first);
#pragma unroll
    for (int s = 0; s < kUnitSteps; ++s) {
      if (done + s < p.steps) {
        if constexpr (kRows < 8) {
          multiply_step_few<T, W>(c, w[s], in_x + s * (kStep * 2));
        } else {
          multiply_step<T, W>(c, w[s], in_x + s * (kStep * 2), 8 * p.pitch);
        }
      }
      load(s, s < next_steps);
    }
    if (first != 0) continue;
    reduce(tile + group_of(thread_index()), c, base < p.tiles);
    if (base >= p.tiles) break;
    reduce.fetch_bias(base + group_of(thread_index()));
    reduce.fetch_scale(base + group_of(thread_index()));
    reduce.fetch_old(base + group_of(thread_index()));
#pragma unroll
    for (int n = 0; n < S::kColumns; ++n)
#pragma unroll
      for (int i = 0; i < 8; ++i) c[n][i / 4][i % 4] = 0;
  }
}

int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

// How W's columns are cut: by its shape alone, so that results do not depend on the rows of x, and not by the
// GPU at hand beyond whether it has clusters.
void cut_columns(SkinnyParams& p) {
  p.tiles = (p.args.out + kTileRows - 1) / kTileRows;
  p.total_steps = (p.args.in + p.step - 1) / p.step;
  // A cluster's blocks wait for each other at each tile, so columns are shared only where there are too few
  // tiles for a Hopper's 132 multiprocessors, or more columns of x than fit beside other blocks.
  const int max_steps = 4096 / p.step;
  while (has_clusters() && p.split() < 8 && p.total_steps >= 2 * kTileWarps * p.split() &&
         (p.total_steps > max_steps * p.split() || p.tiles * p.split() < 128)) {
    ++p.split_log2;
  }
  p.steps = (p.total_steps + p.split() * kTileWarps - 1) / (p.split() * kTileWarps);
}

// Places things in shared memory; their size in bytes.
template <int kRows>
int lay_out(SkinnyParams& p, int rows, NormKind norm) {
  using S = SkinnyShape<kRows>;
  const int columns = p.steps * kTileWarps * p.step;
  // Two rows' 16 bytes for each of 4 lanes fill the 32 banks: the lanes' are side by side, or with int8
  // weights those of 32.
  p.pitch = columns * 2 + (p.step == kStep ? 64 : 16);
  int at = (kRows <= 8 ? std::min(rows, kRows) : kRows) * p.pitch;
  const auto place = [&](int bytes) {
    const int here = (at + 15) / 16 * 16;
    at = here + bytes;
    return here;
  };
  if (norm != NormKind::kNone) {
    p.norm_at = place((norm == NormKind::kLayer ? 2 : 1) * columns * 4);
    p.moments_at = place(kNormScratchBytes);
  }
  p.partial_at = place(S::kPartialBytes);
  p.exchange_at = place(p.split() > 1 ? S::kExchangeBytes : 0);
  p.mailboxes_at = place(p.split() > 1 ? kMailboxes * 8 : 0);
  p.bias_at = place(p.args.bias ? S::kThreads * 4 : 0);
  p.scale_at = place(p.args.scales ? S::kThreads * 4 : 0);
  p.old_at = place(p.args.accumulate ? S::kGroups * S::kOutputs * 4 : 0);
  return at;
}

int shared_limit() {
  static const int limit = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  return limit;
}

// Clusters of this shape that run at once.
template <class Kernel>
int resident_clusters(Kernel kernel, const LaunchShape& shape) {
  const void* function = reinterpret_cast<const void*>(kernel);
  static std::mutex mutex;
  static std::map<std::tuple<const void*, unsigned, size_t>, int> known;
  const std::lock_guard lock(mutex);
  int& count = known[{function, shape.cluster_x, shape.shared_bytes}];
  if (count > 0) return count;
  allow_shared_memory(function, "skinny_matmul", shape.shared_bytes);
  if (shape.cluster_x == 1) {
    int blocks = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, static_cast<int>(shape.block.x),
                                                        shape.shared_bytes),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    count = blocks * multiprocessors();
  } else {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {shape.cluster_x, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(shape.cluster_x);
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.shared_bytes;
    config.attrs = &attribute;
    config.numAttrs = 1;
    check(cudaOccupancyMaxActiveClusters(&count, function, &config), "cudaOccupancyMaxActiveClusters");
  }
  return count = std::max(count, 1);
}

// How many blocks take `tiles` tiles, where `room` fit at once. Each takes the same number, as far as that
// goes, unless the multiprocessors that have a block more than the others then have much more to do: of
// LLaMA-3-8B's 1792 tiles of gate and up, 448 blocks leave some 16 and others 12, and all that fit, 528,
// leave each 13 or 14. (Of clusters there are as many as fit: so bloom-7b1's down takes an H200 35 us,
// else 37.5.)
int even_grid(int tiles, int room) {
  const auto over = [](int a, int b) { return (a + b - 1) / b; };
  const int turns = over(tiles, room), even = over(tiles, turns);
  const int most = over(even, multiprocessors()) * turns, least = over(tiles, multiprocessors());
  return 33 * least < 32 * most ? std::min(tiles, room) : even;
}

// False when x does not fit into shared memory in this shape.
// kNorm: of a single row, in the prologue.
template <class T, class W, int kRows, NormKind kNorm, bool kGated>
bool try_launch(const Context& context, SkinnyParams p) {
  using S = SkinnyShape<kRows>;
  LaunchShape shape;
  shape.shared_bytes = static_cast<size_t>(lay_out<kRows>(p, p.args.tokens, kNorm));
  if (static_cast<int>(shape.shared_bytes) > shared_limit()) return false;
  shape.block = dim3(S::kThreads);
  shape.cluster_x = static_cast<unsigned>(p.split());
  const auto kernel = skinny_kernel<T, W, kRows, kNorm, kGated>;
  const int blocks = (p.tiles + S::kGroups - 1) / S::kGroups, room = resident_clusters(kernel, shape);
  const int clusters = p.split() > 1 ? std::min(blocks, room) : even_grid(blocks, room);
  shape.grid = dim3(static_cast<unsigned>(clusters * p.split()),
                    static_cast<unsigned>((p.args.tokens + kRows - 1) / kRows));
  launch(context, "skinny_matmul", kernel, shape, p);
  return true;
}

// In one pass, if as many rows fit.
template <class T, class W, bool kGated>
bool launch_plain(const Context& context, const SkinnyParams& p) {
  const int tokens = p.args.tokens;
  if (tokens > 32 && try_launch<T, W, 64, NormKind::kNone, kGated>(context, p)) return true;
  if (tokens > 16 && try_launch<T, W, 32, NormKind::kNone, kGated>(context, p)) return true;
  if (tokens > 8 && try_launch<T, W, 16, NormKind::kNone, kGated>(context, p)) return true;
  if (tokens > 4) return try_launch<T, W, 8, NormKind::kNone, kGated>(context, p);
  return try_launch<T, W, 4, NormKind::kNone, kGated>(context, p);
}

// More rows than one are normed by a kernel of their own: with a row, qkv of bloom-560m took an H200 5.6 us
// that way and 3.7 with the norm in the prologue, with 8 rows 5.6 and 10.5. So are longer ones: their weight
// and bias in shared memory take from the first-level cache, where loads on their way have their place.
template <class T, class W, bool kGated>
bool launch_normed(const Context& context, const SkinnyParams& p, NormKind kind) {
  const auto aligned = [](const float* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  if (p.args.tokens > 1 || p.args.in > kNormChunk || !aligned(p.norm.weight) || !aligned(p.norm.bias))
    return false;
  return kind == NormKind::kRms ? try_launch<T, W, 4, NormKind::kRms, kGated>(context, p)
                                : try_launch<T, W, 4, NormKind::kLayer, kGated>(context, p);
}

// Whether 8 rows of x fit, which W's shape alone decides: else results would depend on the rows.
bool fits(SkinnyParams p) {
  p.args.bias = &p;
  p.args.accumulate = true;
  return lay_out<8>(p, 8, NormKind::kNone) <= shared_limit();
}

}  // namespace

SkinnyArgs skinny_args(const MatmulArgs& args) {
  const PackedMatrix& w = *args.w;
  SkinnyArgs a;
  a.w = w.data.view().data;
  a.scales = static_cast<const float*>(w.scales.view().data);
  a.x = args.x.data;
  a.y = args.y.data;
  a.bias = args.bias.data;
  a.x_stride = args.x.row_stride;
  a.y_stride = args.y.row_stride;
  a.tokens = static_cast<int>(args.x.shape[0]);
  a.out = static_cast<int>(w.rows);
  a.in = static_cast<int>(w.cols);
  a.padded = static_cast<int>(w.padded_cols());
  a.x_dtype = args.x.dtype;
  a.y_dtype = args.y.dtype;
  a.activation = args.activation;
  a.accumulate = args.accumulate;
  a.gated = args.gated;
  a.x_vector = reinterpret_cast<uintptr_t>(args.x.data) % 16 == 0 &&
               a.x_stride * static_cast<int64_t>(size_of(a.x_dtype)) % 16 == 0;
  return a;
}

namespace {

// By a norm kernel of its own: the same bits as the norm in the prologue gives.
void normed_first(const Context& context, const MatmulArgs& args) {
  const Arena::Scope scope(*context.arena);
  MatmulArgs plain = args;
  plain.norm = {};
  // In the weights' type where the norm can write it: what x would be rounded to next.
  const DType dtype = x_dtype(*args.w);
  plain.x = context.arena->take(args.x.shape, dtype == context.activation ? dtype : DType::kF32);
  cuda::layer_norm(context, {.x = args.x, .norm = args.norm, .y = plain.x});
  skinny_matmul(context, plain);
}

template <class T, class W, bool kGated>
void launch_16_bit(const Context& context, const MatmulArgs& args, SkinnyParams& p) {
  if (args.norm.weight.empty()) {
    BOLIDE_CHECK((launch_plain<T, W, kGated>(context, p)), "x does not fit");
    return;
  }
  p.norm = {args.norm.weight.as<float>(), static_cast<const float*>(args.norm.bias.data), args.norm.eps};
  if (!launch_normed<T, W, kGated>(context, p, norm_kind(args.norm))) normed_first(context, args);
}

}  // namespace

bool skinny_gates(const PackedMatrix& w) {
  SkinnyParams p;
  p.args.out = static_cast<int>(w.rows);
  p.args.in = static_cast<int>(w.cols);
  if (w.dtype == DType::kI8) p.step = StoredWeights<__half, int8_t>::kStep;
  cut_columns(p);
  return x_dtype(w) != DType::kF32 && fits(p);
}

void skinny_matmul(const Context& context, const MatmulArgs& args) {
  if (args.x.shape[0] == 0) return;
  SkinnyParams p;
  p.args = skinny_args(args);
  const DType dtype = x_dtype(*args.w);
  const bool int8 = args.w->dtype == DType::kI8;
  if (int8) p.step = StoredWeights<__half, int8_t>::kStep;
  cut_columns(p);
  if (dtype == DType::kF32 || !fits(p)) {
    return args.norm.weight.empty() ? fma_matmul(context, args) : normed_first(context, args);
  }
  const auto with_gate = [&]<class T, bool kGated>() {
    int8 ? launch_16_bit<T, int8_t, kGated>(context, args, p) : launch_16_bit<T, T, kGated>(context, args, p);
  };
  const auto run = [&]<class T>() {
    args.gated ? with_gate.template operator()<T, true>() : with_gate.template operator()<T, false>();
  };
  dtype == DType::kF16 ? run.template operator()<__half>() : run.template operator()<__nv_bfloat16>();
}

}  // namespace bolide::cuda
