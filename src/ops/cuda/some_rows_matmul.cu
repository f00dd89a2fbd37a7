// The products of a decode step of many sequences: 9 to 64 rows of x.
#include <algorithm>

#include "ops/cuda/device/some_rows.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"
#include "ops/cuda/skinny_kernels.h"
#include "ops/cuda/tensor_map.h"

namespace bolide::cuda {
namespace {

constexpr int kFewestRows = 9, kMostRows = 64;  // of more, cuBLASLt makes 28 us a layer of bloom-560m, not 31
// Of a W that is large the tile has 128 outputs, so that x is read half as often.
constexpr size_t kLargeBytes = size_t{16} << 20;
// A cluster is as large as it takes for this many blocks. Each doubling adds to the sums that cross it.
constexpr int kEnoughBlocks = 96;
constexpr int kMostSplit = 8;
constexpr int kFewestChunks = 2;  // of a block of a cluster

int split_of(int tiles, int chunks) {
  int split = 1;
  while (split < kMostSplit && tiles * split < kEnoughBlocks && chunks / (2 * split) >= kFewestChunks)
    split *= 2;
  return split;
}

SomeRowsMaps tensor_maps(const SkinnyArgs& a, DType dtype, uint32_t box_rows, uint32_t box_outputs) {
  const auto in = static_cast<uint64_t>(a.in), out = static_cast<uint64_t>(a.out);
  const uint64_t row = static_cast<uint64_t>(a.padded) * 2;
  return {tensor_map(a.w, dtype, {in, 8, 2, out / 16}, {row * 2, row, row * 16}, {8, 2, box_outputs / 16}),
          tensor_map(a.x, dtype, {in, static_cast<uint64_t>(a.tokens)},
                     {static_cast<uint64_t>(a.x_stride) * 2}, {box_rows})};
}

template <class Traits>
void launch_split(const Context& context, const SkinnyArgs& a, DType dtype, int tiles, int chunks) {
  constexpr int split = Traits::kSplit;
  const int most_chunks = (chunks + split - 1) / split, live = (a.tokens + 7) / 8;
  const int own = (live + split - 1) / split;
  const int w_at = std::min(most_chunks, Traits::kXStages) * Traits::kXBytes;
  const int rings = w_at + std::min(most_chunks, Traits::kWStages) * Traits::kWBytes;
  const int mail = split * own * Traits::kSlotBytes;
  const SomeRows p = {.y = a.y,
                      .bias = a.bias,
                      .y_stride = a.y_stride,
                      .rows = a.tokens,
                      .out = a.out,
                      .chunks = chunks,
                      .own = own,
                      .w_at = w_at,
                      .mail_at = Traits::kReuse ? 0 : rings,
                      .y_f32 = a.y_dtype == DType::kF32,
                      .accumulate = a.accumulate,
                      .activation = a.activation};
  const LaunchShape shape = {
      .grid = dim3(static_cast<unsigned>(tiles * split)),
      .block = dim3(Traits::kThreads),
      .shared_bytes = static_cast<size_t>(Traits::kReuse ? std::max(rings, mail) : rings + mail),
      .cluster_x = static_cast<unsigned>(split)};
  // Or the next kernel's blocks would not fit beside this one's: the split between shared memory and
  // first-level cache changes only while a multiprocessor is empty.
  check(cudaFuncSetAttribute(some_rows_kernel<Traits>, cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared),
        "some_rows_matmul");
  launch(context, "some_rows_matmul", some_rows_kernel<Traits>, shape, p,
         tensor_maps(a, dtype, Traits::kRows, Traits::kOutputs));
}

template <class T, int kRows, int kGroups>
void launch_rows(const Context& context, const SkinnyArgs& a, DType dtype) {
  const int tiles = (a.out + 64 * kGroups - 1) / (64 * kGroups), chunks = (a.in + 63) / 64;
  const auto split = [&]<int kSplit>() {
    launch_split<SomeRowsTraits<T, kRows, kGroups, kSplit>>(context, a, dtype, tiles, chunks);
  };
  switch (split_of(tiles, chunks)) {
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

template <class T>
void launch_type(const Context& context, const SkinnyArgs& a, DType dtype, bool large) {
  if (large) {
    if (a.tokens > 32) return launch_rows<T, 64, 2>(context, a, dtype);
    if (a.tokens > 16) return launch_rows<T, 32, 2>(context, a, dtype);
    return launch_rows<T, 16, 2>(context, a, dtype);
  }
  if (a.tokens > 32) return launch_rows<T, 64, 1>(context, a, dtype);
  if (a.tokens > 16) return launch_rows<T, 32, 1>(context, a, dtype);
  launch_rows<T, 16, 1>(context, a, dtype);
}

bool has_kernel() {
  static const bool has =
      has_hopper_kernel(some_rows_kernel<SomeRowsTraits<__half, 64, 1, 1>>, size_t{128} << 10);
  return has;
}

// x through its norm, as the products want it.
View normed(const Context& context, const MatmulArgs& args) {
  Context typed = context;
  typed.activation = args.w->dtype;
  View x = context.arena->take({args.x.shape[0], args.w->padded_cols()}, args.w->dtype);
  x.shape[1] = args.w->cols;
  cuda::layer_norm(typed, {.x = args.x, .norm = args.norm, .y = x});
  return x;
}

}  // namespace

bool some_rows_matmul(const Context& context, const MatmulArgs& args) {
  const DType dtype = args.w->dtype;
  SkinnyArgs a = skinny_args(args);
  const bool norm = !args.norm.weight.empty();
  const bool large = args.w->data.bytes() > kLargeBytes;
  // On an H200, cuBLASLt is at least as quick with the matrices of bloom-7b1's layers, which leave a wave of
  // blocks half full (at 32 rows 125 us a layer against 128), but not with a head.
  const bool half_full = large && a.out / 128 < 4 * multiprocessors();
  const size_t pair = 2 * size_of(a.y_dtype);
  if (half_full || a.tokens < kFewestRows || a.tokens > kMostRows || dtype == DType::kF32 ||
      a.out % 16 != 0 || a.y_stride % 2 != 0 || reinterpret_cast<uintptr_t>(a.y) % pair != 0 ||
      (a.y_dtype != DType::kF32 && a.y_dtype != dtype) || !(norm || (a.x_dtype == dtype && a.x_vector)) ||
      !has_kernel()) {
    return false;
  }
  const Arena::Scope scope(*context.arena);
  if (norm) {
    const View x = normed(context, args);
    a.x = x.data;
    a.x_stride = x.row_stride;
  }
  if (dtype == DType::kF16) {
    launch_type<__half>(context, a, dtype, large);
  } else {
    launch_type<__nv_bfloat16>(context, a, dtype, large);
  }
  return true;
}

}  // namespace bolide::cuda
