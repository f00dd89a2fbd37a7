// Matrix products of many rows through cuBLASLt.
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

// The largest power of two, up to 16, that divides the addresses of all rows.
uint32_t row_alignment(const View& view) {
  const uintptr_t step =
      view.shape[0] > 1 ? static_cast<uintptr_t>(view.row_stride) * size_of(view.dtype) : 0;
  const uintptr_t bits = reinterpret_cast<uintptr_t>(view.data) | step | 16;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

}  // namespace

void cublaslt_matmul(const Context& context, const MatmulArgs& args) {
  Arena own(Device::kCuda);
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  const PackedMatrix& w = *args.w;
  const int64_t tokens = args.x.shape[0];
  // The padding columns of W are zero, and those of a copy of x would have to be finite, so products stop at
  // w.cols.
  const auto scratch = [&] {
    View made = arena.take({tokens, w.padded_cols()}, w.dtype);
    made.shape[1] = w.cols;
    return made;
  };
  View x = args.x;
  if (!args.norm.weight.empty()) {
    x = scratch();
    Context typed = context;
    typed.activation = w.dtype;
    cuda::layer_norm(typed, {.x = args.x, .norm = args.norm, .y = x});
  } else if (x.dtype != w.dtype || row_alignment(x) < 16) {
    x = scratch();
    convert_rows(context, args.x, x);
  }

  const bool gelu = args.activation == Activation::kGeluTanh;
  const Problem problem = {.product = {.tokens = tokens,
                                       .out = w.rows,
                                       .in = w.cols,
                                       .in_dtype = w.dtype,
                                       .y_dtype = args.y.dtype,
                                       .bias = !args.bias.empty(),
                                       .gelu = gelu,
                                       .accumulate = args.accumulate},
                           .w_stride = w.padded_cols(),
                           .x_stride = tokens > 1 ? x.row_stride : w.padded_cols(),
                           .y_stride = tokens > 1 ? args.y.row_stride : w.rows,
                           .y_alignment = row_alignment(args.y)};
  const View workspace = arena.take({static_cast<int64_t>(kWorkspaceBytes)}, DType::kU8);
  library().run(context, problem,
                {.w = w.data.view().data,
                 .x = x.data,
                 .bias = args.bias.data,
                 .y = args.y.data,
                 .workspace = workspace.data});
  if (args.activation != Activation::kNone && !gelu) activate_rows(context, args.y, args.activation);
}

}  // namespace bolide::cuda
