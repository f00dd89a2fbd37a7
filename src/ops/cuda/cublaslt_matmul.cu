// Matrix products of many rows through cuBLASLt.
#include <algorithm>

#include "ops/cuda/cublaslt.h"
#include "ops/cuda/device/activation.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"
#include "tensor/device.h"

namespace bolide::cuda {
namespace {

// y = activation(y), what cuBLASLt's epilogues lack.
template <class T>
__global__ void activate_kernel(T* y, int64_t stride, int64_t columns, Activation activation) {
  let_next_start();
  wait_for_previous();
  T* row = y + static_cast<int64_t>(blockIdx.x) * stride;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x)
    row[c] = from_f32<T>(activate(activation, to_f32(row[c])));
}

void activate_rows(const Context& context, const View& y, Activation activation) {
  dispatch_float(y.dtype, [&]<class T>() {
    using D = device_t<T>;
    launch(context, "activate", activate_kernel<D>,
           {.grid = dim3(static_cast<unsigned>(y.shape[0])), .block = dim3(256)}, static_cast<D*>(y.data),
           y.row_stride, y.shape[1], activation);
  });
}

// x as W's type with rows that cuBLASLt can read: `to` is contiguous.
template <class From, class To>
__global__ void convert_kernel(const From* x, int64_t stride, int64_t columns, To* to, int64_t to_stride) {
  let_next_start();
  wait_for_previous();
  const From* from = x + static_cast<int64_t>(blockIdx.x) * stride;
  To* row = to + static_cast<int64_t>(blockIdx.x) * to_stride;
  for (int64_t c = threadIdx.x; c < columns; c += blockDim.x) row[c] = from_f32<To>(to_f32(from[c]));
}

void convert_rows(const Context& context, const View& x, const View& to) {
  dispatch_float(x.dtype, [&]<class From>() {
    dispatch_float(to.dtype, [&]<class To>() {
      launch(context, "convert", convert_kernel<device_t<From>, device_t<To>>,
             {.grid = dim3(static_cast<unsigned>(x.shape[0])), .block = dim3(256)},
             static_cast<const device_t<From>*>(x.data), x.row_stride, x.shape[1],
             static_cast<device_t<To>*>(to.data), to.row_stride);
    });
  });
}

}  // namespace

void cublaslt_matmul(const Context& context, const MatmulArgs& args) {
  Arena own(Device::kCuda);
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  const PackedMatrix& w = *args.w;
  const DType dtype = x_dtype(w);
  const int64_t tokens = args.x.shape[0];
  // The padding columns of W are zero, and those of a copy of x would have to be finite, so products stop at
  // w.cols.
  const auto scratch = [&] {
    View made = arena.take({tokens, w.padded_cols()}, dtype);
    made.shape[1] = w.cols;
    return made;
  };
  View x = args.x;
  if (!args.norm.weight.empty()) {
    x = scratch();
    Context typed = context;
    typed.activation = dtype;
    cuda::layer_norm(typed, {.x = args.x, .norm = args.norm, .y = x});
  } else if (cublaslt_copies(args)) {
    x = scratch();
    convert_rows(context, args.x, x);
  }

  const bool gelu = args.activation == Activation::kGeluTanh;
  const int64_t share = share_of_rows(w);
  const View widened =
      w.dtype == DType::kI8 ? arena.take({share, w.padded_cols()}, dtype) : View(w.data.view());
  const View workspace = arena.take({static_cast<int64_t>(kWorkspaceBytes)}, DType::kU8);
  for (int64_t first = 0; first < w.rows; first += share) {
    const int64_t rows = std::min(share, w.rows - first);
    if (w.dtype == DType::kI8) widen_rows(context, w, first, widened.slice_rows(0, rows));
    const View y = args.y.slice_columns(first, first + rows);
    const Problem problem = {.product = {.tokens = tokens,
                                         .out = rows,
                                         .in = w.cols,
                                         .in_dtype = dtype,
                                         .y_dtype = y.dtype,
                                         .bias = !args.bias.empty(),
                                         .gelu = gelu,
                                         .accumulate = args.accumulate},
                             .w_stride = w.padded_cols(),
                             .x_stride = tokens > 1 ? x.row_stride : w.padded_cols(),
                             .y_stride = tokens > 1 ? y.row_stride : rows,
                             .y_alignment = row_alignment(y)};
    library().run(context, problem,
                  {.w = widened.data,
                   .x = x.data,
                   .bias = args.bias.empty() ? nullptr : args.bias.slice_rows(first, first + rows).data,
                   .y = y.data,
                   .workspace = workspace.data});
  }
  if (args.activation != Activation::kNone && !gelu) activate_rows(context, args.y, args.activation);
}

}  // namespace bolide::cuda
