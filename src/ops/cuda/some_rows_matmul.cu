// The products of a decode step of many sequences, or of a short prompt: 9 to 192 rows of x, 5 to 64 of a
// head's.
#include <algorithm>

#include "ops/cuda/device/some_rows.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"
#include "ops/cuda/skinny_kernels.h"
#include "ops/cuda/tensor_map.h"

namespace bolide::cuda {
namespace {

constexpr int kMinRows = 9, kMaxRows = 192;
// Of heads: cuBLASLt's few rows take 135 us for bloom-560m's on an H200, 16 of these 130. Of int8 weights:
// skinny_matmul() widens each for its 8 rows, and a step of 8 of LLaMA-3-8B took 4.37 ms, so 3.36.
constexpr int kMinOfLarge = 5, kMaxOfLarge = 64;
// Twice 64: cuBLASLt needs them widened, which is 5 bytes of traffic a weight.
constexpr int kMaxOfInt8 = 128;
// Blocks of a cluster take 64 rows of x at the most; of 65 to 128, with this many outputs, 32: rather than
// that a cluster shares columns. (24.6 us a layer of bloom-560m at 128 rows, where 64 rows take 25.5 and
// cuBLASLt 28; at 192 rows 28.2 and 31.0, from 256 on cuBLASLt is at least as quick. Tiles of 128 rows were
// slower.)
constexpr int kManyOutputs = 2048, kMaxOf32Rows = 128;
// Of a W that is large the tile has 128 outputs, so that x is read half as often.
constexpr size_t kLargeBytes = size_t{16} << 20;
// Clusters grow to as many blocks as this, all at once. Each doubling adds to the sums that cross them.
constexpr int kEnoughBlocks = 192;
constexpr int kMaxSplit = 8;
constexpr int kMinChunks = 2;  // of a block of a cluster

// `clusters`: of one block.
int split_of(int clusters, int chunks) {
  int split = 1;
  while (split < kMaxSplit && 2 * clusters * split <= kEnoughBlocks && chunks / (2 * split) >= kMinChunks)
    split *= 2;
  return split;
}

SomeRowsMaps tensor_maps(const SkinnyArgs& a, DType w_dtype, DType dtype, uint32_t box_rows,
                         uint32_t box_outputs) {
  const auto in = static_cast<uint64_t>(a.in), out = static_cast<uint64_t>(a.out + 15) / 16 * 16;
  const uint64_t row = static_cast<uint64_t>(a.padded) * size_of(w_dtype);
  const uint64_t plain[] = {row * 2, row, row * 16}, gated[] = {row, row * (out / 2), row * 8};
  return {tensor_map(a.w, w_dtype, {in, 8, 2, out / 16}, a.gated ? gated : plain, {8, 2, box_outputs / 16}),
          tensor_map(a.x, dtype, {in, static_cast<uint64_t>(a.tokens)},
                     {static_cast<uint64_t>(a.x_stride) * 2}, {box_rows})};
}

template <class Traits, bool kArgmax>
void launch_split(const Context& context, const SkinnyArgs& a, DType dtype, int tiles, int chunks,
                  const ArgmaxParts& argmax) {
  constexpr int split = Traits::kSplit;
  const int most_chunks = (chunks + split - 1) / split;
  const int row_blocks = (a.tokens + Traits::kRows - 1) / Traits::kRows;
  const int live = (std::min(a.tokens, Traits::kRows) + 7) / 8;
  const int own = (live + split - 1) / split;
  const int w_at = std::min(most_chunks, Traits::kXStages) * Traits::kXBytes;
  const int rings = w_at + std::min(most_chunks, Traits::kWStages) * Traits::kWBytes;
  const int mail = split * own * Traits::kSlotBytes;
  const SomeRows p = {.y = a.y,
                      .bias = a.bias,
                      .scales = a.scales,
                      .y_stride = a.y_stride,
                      .rows = a.tokens,
                      .out = a.out,
                      .row_blocks = row_blocks,
                      .chunks = chunks,
                      .own = own,
                      .w_at = w_at,
                      .mail_at = Traits::kReuse ? 0 : rings,
                      .y_f32 = a.y_dtype == DType::kF32,
                      .accumulate = a.accumulate,
                      .gates = a.gated ? a.out / 2 : 0,
                      .activation = a.activation,
                      .argmax = argmax};
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned>(tiles * row_blocks * split)),
      .block = dim3(Traits::kThreads),
      .shared_bytes = static_cast<size_t>(Traits::kReuse ? std::max(rings, mail) : rings + mail),
      .cluster_x = static_cast<unsigned>(split),
      .division = Division::kMaxShared};
  const auto kernel = some_rows_kernel<Traits, kArgmax>;
  launch(context, "some_rows_matmul", kernel, shape, p,
         tensor_maps(a, Traits::kInt8 ? DType::kI8 : dtype, dtype, Traits::kRows, Traits::kOutputs));
}

// Finds `argmax` only where a tile is a block's own and has 128 outputs: it is for heads.
template <class T, int kRows, int kGroups, class W = T>
Done launch_rows(const Context& context, const SkinnyArgs& a, DType dtype, const Argmax* argmax = nullptr) {
  constexpr int kChunk = SomeRowsTraits<T, kRows, kGroups, 1, W>::kChunk;
  const int tiles = (a.out + 64 * kGroups - 1) / (64 * kGroups), chunks = (a.in + kChunk - 1) / kChunk;
  const int row_blocks = (a.tokens + kRows - 1) / kRows, wanted = split_of(tiles * row_blocks, chunks);
  if constexpr (kGroups == 2) {
    if (argmax && wanted == 1) {
      const ArgmaxParts parts = take_argmax_parts(context, a.tokens, tiles);
      launch_split<SomeRowsTraits<T, kRows, kGroups, 1, W>, true>(context, a, dtype, tiles, chunks, parts);
      pick_argmax(context, parts, *argmax);
      return Done::kArgmax;
    }
  }
  const auto split = [&]<int kSplit>() {
    launch_split<SomeRowsTraits<T, kRows, kGroups, kSplit, W>, false>(context, a, dtype, tiles, chunks, {});
    return Done::kProduct;
  };
  switch (wanted) {
    case 1:
      return split.template operator()<1>();
    case 2:
      return split.template operator()<2>();
    case 4:
      return split.template operator()<4>();
    default:
      return split.template operator()<8>();
  }
}

template <class T, class W>
Done launch_wide(const Context& context, const SkinnyArgs& a, DType dtype, const Argmax* argmax) {
  if (a.tokens > 32) return launch_rows<T, 64, 2, W>(context, a, dtype, argmax);
  if (a.tokens > 16) return launch_rows<T, 32, 2, W>(context, a, dtype, argmax);
  return launch_rows<T, 16, 2, W>(context, a, dtype, argmax);
}

template <class T>
Done launch_type(const Context& context, const SkinnyArgs& a, DType dtype, bool large, const Argmax* argmax) {
  if (a.scales) return launch_wide<T, int8_t>(context, a, dtype, argmax);
  if (large) return launch_wide<T, T>(context, a, dtype, argmax);
  if (a.tokens <= 16) return launch_rows<T, 16, 1>(context, a, dtype);
  if (a.tokens <= 32 || (a.tokens > 64 && a.tokens <= kMaxOf32Rows && a.out >= kManyOutputs))
    return launch_rows<T, 32, 1>(context, a, dtype);
  return launch_rows<T, 64, 1>(context, a, dtype);
}

bool has_kernel() {
  static const bool has =
      has_hopper_kernel(some_rows_kernel<SomeRowsTraits<__half, 64, 1, 1>, false>, size_t{128} << 10);
  return has;
}

// x through its norm, as the products want it.
View normed(const Context& context, const MatmulArgs& args) {
  Context typed = context;
  typed.activation = x_dtype(*args.w);
  View x = context.arena->take({args.x.shape[0], args.w->padded_cols()}, typed.activation);
  x.shape[1] = args.w->cols;
  cuda::layer_norm(typed, {.x = args.x, .norm = args.norm, .y = x});
  return x;
}

}  // namespace

Done some_rows_matmul(const Context& context, const MatmulArgs& args) {
  const DType dtype = x_dtype(*args.w);
  SkinnyArgs a = skinny_args(args);
  const bool norm = !args.norm.weight.empty(), int8 = args.w->dtype == DType::kI8;
  const bool large = args.w->data.bytes() > kLargeBytes;
  // Then y is not written: it may lie anywhere, and a vocabulary may have any number of ids.
  const bool finds_argmax =
      large && leaves_argmax(args) && split_of((a.out + 127) / 128, (a.in + 63) / 64) == 1;
  const bool head = large && (finds_argmax || a.out / 128 >= 4 * multiprocessors());
  // On an H200, cuBLASLt is at least as quick with the matrices of bloom-7b1's layers, which leave a wave of
  // blocks half full (at 32 rows 125 us a layer against 128), but not with a head. Int8 ones it would have to
  // read three times.
  const bool half_full = large && !head && !int8;
  const int least = head || int8 ? kMinOfLarge : kMinRows;
  const int most = int8 ? kMaxOfInt8 : large ? kMaxOfLarge : kMaxRows;
  const size_t pair = 2 * size_of(a.y_dtype);
  const bool y_fits = finds_argmax || (a.out % 16 == 0 && a.y_stride % 2 == 0 &&
                                       reinterpret_cast<uintptr_t>(a.y) % pair == 0);
  if (half_full || a.tokens < least || a.tokens > most || dtype == DType::kF32 || !y_fits ||
      (a.y_dtype != DType::kF32 && a.y_dtype != dtype) || !(norm || (a.x_dtype == dtype && a.x_vector)) ||
      !has_kernel()) {
    return Done::kNothing;
  }
  const Arena::Scope scope(*context.arena);
  if (norm) {
    const View x = normed(context, args);
    a.x = x.data;
    a.x_stride = x.row_stride;
  }
  const Argmax* argmax = finds_argmax ? &args.argmax : nullptr;
  return dtype == DType::kF16 ? launch_type<__half>(context, a, dtype, large, argmax)
                              : launch_type<__nv_bfloat16>(context, a, dtype, large, argmax);
}

}  // namespace bolide::cuda
