#include <algorithm>

#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/packed_matrix.h"

namespace bolide::cuda {
namespace {

constexpr int kTile = 32;        // square tiles: a warp reads a row of one, and writes a row of one
constexpr int kTileThreads = 8;  // rows of threads

struct Placement {
  int64_t rows, cols;                   // of W, as the block holds them
  int64_t block_stride, matrix_stride;  // elements
  int64_t column_tiles, tiles;
};

__device__ __forceinline__ float to_single(double x) { return static_cast<float>(x); }
template <class From>
__device__ __forceinline__ float to_single(From x) {
  return to_f32(x);
}

// Each element by way of fp32, as the CPU converts.
template <class From, class To, bool kTransposed>
__global__ void __launch_bounds__(kTile* kTileThreads)
    pack(const From* __restrict__ block, To* __restrict__ matrix, Placement at) {
  __shared__ float tile[kTile][kTile + 1];  // the odd width keeps columns apart in the banks
  wait_for_previous();
  let_next_start();
  const int x = static_cast<int>(threadIdx.x);
  for (int64_t t = blockIdx.x; t < at.tiles; t += gridDim.x) {
    const int64_t row0 = t / at.column_tiles * kTile, col0 = t % at.column_tiles * kTile;
    if constexpr (kTransposed) {
      for (int y = static_cast<int>(threadIdx.y); y < kTile; y += kTileThreads)
        if (col0 + y < at.cols && row0 + x < at.rows)
          tile[y][x] = to_single(block[(col0 + y) * at.block_stride + row0 + x]);
      __syncthreads();
    }
    for (int y = static_cast<int>(threadIdx.y); y < kTile; y += kTileThreads) {
      if (row0 + y >= at.rows || col0 + x >= at.cols) continue;
      const float value =
          kTransposed ? tile[x][y] : to_single(block[(row0 + y) * at.block_stride + col0 + x]);
      matrix[(row0 + y) * at.matrix_stride + col0 + x] = from_f32<To>(value);
    }
    if constexpr (kTransposed) __syncthreads();
  }
}

template <class From, class To>
void pack_typed(const Context& context, const View& block, bool transposed, void* to, const Placement& at) {
  const LaunchShape shape = {.grid = dim3(static_cast<unsigned>(std::min<int64_t>(at.tiles, 1 << 20))),
                             .block = dim3(kTile, kTileThreads)};
  launch(context, "pack_block", transposed ? pack<From, To, true> : pack<From, To, false>, shape,
         static_cast<const From*>(block.data), static_cast<To*>(to), at);
}

}  // namespace

void pack_block(const Context& context, const View& block, bool transposed, int64_t row0, int64_t col0,
                PackedMatrix& matrix) {
  Placement at = {.rows = block.shape[transposed ? 1 : 0],
                  .cols = block.shape[transposed ? 0 : 1],
                  .block_stride = block.row_stride,
                  .matrix_stride = matrix.padded_cols(),
                  .column_tiles = 0,
                  .tiles = 0};
  at.column_tiles = (at.cols + kTile - 1) / kTile;
  at.tiles = (at.rows + kTile - 1) / kTile * at.column_tiles;
  dispatch_float(matrix.dtype, [&]<class To>() {
    void* to = matrix.data.as<To>() + row0 * at.matrix_stride + col0;
    if (block.dtype == DType::kF64)
      return pack_typed<double, device_t<To>>(context, block, transposed, to, at);
    dispatch_float(block.dtype, [&]<class From>() {
      pack_typed<device_t<From>, device_t<To>>(context, block, transposed, to, at);
    });
  });
}

}  // namespace bolide::cuda
