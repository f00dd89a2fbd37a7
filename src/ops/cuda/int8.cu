// Int8 matrices: made of fp32 ones, and back.
#include <algorithm>

#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"
#include "ops/packed_matrix.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

// One block a row. Divisions and roundings as on a CPU, to the bit.
__global__ void __launch_bounds__(kThreads)
    quantize(const float* w, int64_t w_stride, int64_t columns, const float* at_least, int8_t* out,
             int64_t out_stride, float* scales) {
  __shared__ float warps[kThreads / 32];
  wait_for_previous();
  let_next_start();
  const int64_t row = blockIdx.x;
  w += row * w_stride;
  float largest = at_least ? at_least[row] : 0.0f;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) largest = fmaxf(largest, fabsf(w[c]));
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = largest;
  __syncthreads();
  for (const float other : warps) largest = fmaxf(largest, other);
  const float scale = __fdiv_rn(largest, 127.0f);
  if (threadIdx.x == 0) scales[row] = scale;
  const float divisor = scale == 0 ? 1.0f : scale;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads)
    out[row * out_stride + c] =
        static_cast<int8_t>(max(-127, min(127, __float2int_rn(__fdiv_rn(w[c], divisor)))));
}

template <class W, class Y>
__global__ void __launch_bounds__(kThreads)
    unpack_rows(const W* w, int64_t w_stride, int64_t columns, const float* scales, Y* y, int64_t y_stride) {
  wait_for_previous();
  let_next_start();
  const int64_t row = blockIdx.x;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    float value;
    if constexpr (std::is_same_v<W, int8_t>) {
      value = static_cast<float>(w[row * w_stride + c]) * scales[row];
    } else {
      value = to_f32(w[row * w_stride + c]);
    }
    y[row * y_stride + c] = from_f32<Y>(value);
  }
}

// 16 columns a thread at a time; the padding with them.
template <class Y>
__global__ void __launch_bounds__(kThreads)
    widen(const int8_t* w, const float* scales, int64_t rows, int64_t padded, Y* y) {
  constexpr int kColumns = 16;
  const int64_t vectors = padded / kColumns, count = rows * vectors;
  wait_for_previous();
  let_next_start();
  for (int64_t v = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; v < count;
       v += static_cast<int64_t>(gridDim.x) * kThreads) {
    alignas(16) int8_t in[kColumns];
    *reinterpret_cast<uint4*>(in) = *reinterpret_cast<const uint4*>(w + v * kColumns);
    const float scale = scales[v / vectors];
    alignas(16) Y out[kColumns];
#pragma unroll
    for (int i = 0; i < kColumns; ++i) out[i] = from_f32<Y>(static_cast<float>(in[i]) * scale);
#pragma unroll
    for (int i = 0; i < kColumns; i += kVector<Y>)
      *reinterpret_cast<uint4*>(y + v * kColumns + i) = *reinterpret_cast<const uint4*>(out + i);
  }
}

}  // namespace

void widen_rows(const Context& context, const PackedMatrix& w, int64_t first, const View& to) {
  const int64_t rows = to.shape[0], padded = w.padded_cols(),
                blocks = (rows * padded / 16 + kThreads - 1) / kThreads;
  dispatch_float(to.dtype, [&]<class Y>() {
    launch(context, "widen", widen<device_t<Y>>,
           {.grid = dim3(static_cast<unsigned>(std::min<int64_t>(blocks, 8 * multiprocessors()))),
            .block = dim3(kThreads)},
           w.data.as<int8_t>() + first * padded, w.scales.as<float>() + first, rows, padded,
           static_cast<device_t<Y>*>(to.data));
  });
}

void quantize_rows(const Context& context, const QuantizeRowsArgs& args) {
  launch(context, "quantize_rows", quantize,
         {.grid = dim3(static_cast<unsigned>(args.from->rows)), .block = dim3(kThreads)},
         args.from->data.as<float>(), args.from->padded_cols(), args.from->cols,
         static_cast<const float*>(args.at_least.data), args.to->data.as<int8_t>(), args.to->padded_cols(),
         args.to->scales.as<float>());
}

void unpack(const Context& context, const PackedMatrix& matrix, const View& y) {
  dispatch_float(y.dtype, [&]<class Y>() {
    const auto run = [&]<class W>(const W* w) {
      launch(context, "unpack", unpack_rows<W, device_t<Y>>,
             {.grid = dim3(static_cast<unsigned>(matrix.rows)), .block = dim3(kThreads)}, w,
             matrix.padded_cols(), matrix.cols, static_cast<const float*>(matrix.scales.view().data),
             static_cast<device_t<Y>*>(y.data), y.row_stride);
    };
    const void* data = matrix.data.view().data;
    if (matrix.dtype == DType::kI8) return run(static_cast<const int8_t*>(data));
    dispatch_float(matrix.dtype, [&]<class W>() { run(static_cast<const device_t<W>*>(data)); });
  });
}

}  // namespace bolide::cuda
