// Ops on rows: layer_norm, and those that move rows, where each row of y takes a row of x of its own choice.
#include <algorithm>

#include "ops/add.h"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/norm_row.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/embedding.h"
#include "ops/gather_rows.h"
#include "ops/norm.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

// Whether every row begins on a boundary of `bytes` bytes.
bool aligned(const void* data, int64_t stride_bytes, size_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % bytes == 0 && static_cast<size_t>(stride_bytes) % bytes == 0;
}
bool aligned(const View& view, size_t bytes) {
  const int64_t stride = view.shape.rank() == 2 && view.shape[0] > 1 ? view.row_stride : 0;
  return aligned(view.data, stride * static_cast<int64_t>(size_of(view.dtype)), bytes);
}

// Rows of x, and which of them a row of y takes.
struct Source {
  const void* data;
  int64_t stride;                     // elements
  int64_t rows;                       // what lies outside [0, rows) is zeros
  const int32_t* ids = nullptr;       // by row of y; null: its own index
  const int32_t* previous = nullptr;  // a negative id means previous[-1 - id]
  int64_t begin = 0;                  // the id of row 0
  const float* bias = nullptr;        // for add() alone: [columns] added to each row, or null
  const float* scales = nullptr;      // [rows] of int8 rows
  float factor = 1;                   // of every row, unless it is normed

  __device__ __forceinline__ int64_t choice(int64_t row) const {
    if (!ids) return row;
    int64_t id = ids[row];
    if (id < 0 && previous) id = previous[-1 - id];
    return id - begin;
  }
};

// Whether every row of X begins on a boundary of `bytes` bytes.
template <class X>
bool aligned(const Source& x, size_t bytes) {
  return aligned(x.data, x.rows > 1 ? x.stride * static_cast<int64_t>(sizeof(X)) : 0, bytes);
}

// y = x or y += x. A block has kThreads * kVector<X> columns of one row.
template <class X, bool kAccumulate>
__global__ void __launch_bounds__(kThreads)
    move_rows(Source source, float* y, int64_t y_stride, int64_t columns, bool vectors) {
  wait_for_previous();
  let_next_start();
  constexpr int kWidth = kVector<X>;
  constexpr bool kScaled = std::is_same_v<X, int8_t>;
  const int64_t row = blockIdx.x, from = source.choice(row);
  const bool there = from >= 0 && from < source.rows;
  const X* x = static_cast<const X*>(source.data) + (there ? from * source.stride : 0);
  float scale = 1;
  if constexpr (kScaled) scale = there ? source.scales[from] : 0.0f;
  const auto value = [&](X element) {
    return __fmul_rn(kScaled ? __fmul_rn(to_f32(element), scale) : to_f32(element), source.factor);
  };
  y += row * y_stride;
  const int64_t block = static_cast<int64_t>(blockIdx.y) * kThreads * kWidth;
  const int64_t mine = block + static_cast<int64_t>(threadIdx.x) * kWidth;
  if (vectors && mine + kWidth <= columns) {
    alignas(16) X in[kWidth] = {};
    if (there) *reinterpret_cast<uint4*>(in) = *reinterpret_cast<const uint4*>(x + mine);
#pragma unroll
    for (int i = 0; i < kWidth; i += 4) {
      float4* out = reinterpret_cast<float4*>(y + mine + i);
      float4 sum = kAccumulate ? *out : float4{};
      float4 more =
          kAccumulate && source.bias ? *reinterpret_cast<const float4*>(source.bias + mine + i) : float4{};
      more.x += value(in[i]);
      more.y += value(in[i + 1]);
      more.z += value(in[i + 2]);
      more.w += value(in[i + 3]);
      sum.x += more.x;
      sum.y += more.y;
      sum.z += more.z;
      sum.w += more.w;
      *out = sum;
    }
    return;
  }
  // The last columns of an aligned row, or neighbours by neighbouring threads.
  const int64_t first = vectors ? mine : block + threadIdx.x;
  const int64_t step = vectors ? 1 : kThreads;
  for (int i = 0; i < kWidth; ++i) {
    const int64_t at = first + i * step;
    if (at >= columns) continue;
    const float bias = kAccumulate && source.bias ? source.bias[at] : 0.0f;
    y[at] = (kAccumulate ? y[at] : 0.0f) + ((there ? value(x[at]) : 0.0f) + bias);
  }
}

template <bool kAccumulate>
void move(const Context& context, const char* name, const Source& source, DType dtype, const View& y) {
  const auto with = [&]<class T>() {
    using X = device_t<T>;
    const int64_t columns = y.shape[1], of_block = kThreads * kVector<X>;
    const bool vectors =
        aligned<X>(source, 16) && aligned(y, 16) && reinterpret_cast<uintptr_t>(source.bias) % 16 == 0;
    const LaunchShape shape = {.grid = dim3(static_cast<unsigned>(y.shape[0]),
                                            static_cast<unsigned>((columns + of_block - 1) / of_block)),
                               .block = dim3(kThreads)};
    launch(context, name, move_rows<X, kAccumulate>, shape, source, y.as<float>(), y.row_stride, columns,
           vectors);
  };
  if (dtype == DType::kI8) return with.template operator()<int8_t>();
  dispatch_float(dtype, with);
}

// Columns [column, column + 4) of a row, as far as it goes.
template <class Y>
__device__ __forceinline__ void store_columns(Y* row, int column, int hidden, bool vector, float4 y) {
  alignas(16) const Y out[4] = {from_f32<Y>(y.x), from_f32<Y>(y.y), from_f32<Y>(y.z), from_f32<Y>(y.w)};
  if (vector && column + 4 <= hidden) {
    using Vector = std::conditional_t<sizeof(Y) == 4, uint4, uint2>;
    *reinterpret_cast<Vector*>(row + column) = *reinterpret_cast<const Vector*>(out);
    return;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (column + j < hidden) row[column + j] = out[j];
}

// The same, added to what is there where `accumulate` says so.
template <class Y>
__device__ __forceinline__ void put_columns(Y* row, int column, int hidden, bool vector, bool accumulate,
                                            float4 y) {
  if constexpr (std::is_same_v<Y, float>) {
    if (accumulate) {
      const float4 old = load_columns(row, column, hidden, vector);
      y = {old.x + y.x, old.y + y.y, old.z + y.z, old.w + y.w};
    }
  }
  store_columns(row, column, hidden, vector, y);
}

struct NormRows {
  Source x;
  const float* weight;
  const float* bias;  // of an RMS norm null
  float eps;
  int hidden;
  int64_t y_stride;
  bool x_vector, parameters_vector, y_vector;
  bool accumulate;  // of Y in fp32
};

// One block a row. Parameters are no kernel's work and are read while the previous kernel ends. What is
// longer than kKept chunks is read again.
template <NormKind kKind, class X, class Y, int kKept>
__global__ void __launch_bounds__(kNormThreads) norm_rows(NormRows args, Y* y) {
  __shared__ alignas(16) float scratch[kNormScratchBytes / 4];
  constexpr bool kBias = kKind == NormKind::kLayer;
  const int hidden = args.hidden, first = static_cast<int>(threadIdx.x) * 4;
  float4 weight[kKept], bias[kKept] = {}, kept[kKept];
  load_chunks(weight, args.weight, hidden, args.parameters_vector);
  if constexpr (kBias) load_chunks(bias, args.bias, hidden, args.parameters_vector);
  wait_for_previous();
  let_next_start();
  const int64_t from = args.x.choice(blockIdx.x);
  const bool there = from >= 0 && from < args.x.rows;
  const X* row = static_cast<const X*>(args.x.data) + (there ? from * args.x.stride : 0);
  y += static_cast<int64_t>(blockIdx.x) * args.y_stride;
  NormFactors factors = {0, 0};  // of zeros, which leaves the bias
  if (there) {
    load_chunks(kept, row, hidden, args.x_vector);
    factors = row_factors<kKind>(row, hidden, args.eps, args.x_vector, scratch, kept);
  }
#pragma unroll
  for (int i = 0; i < kKept; ++i) {
    put_columns(y, first + i * kNormChunk, hidden, args.y_vector, args.accumulate,
                there ? normalise<kKind>(kept[i], factors, weight[i], bias[i]) : bias[i]);
  }
#pragma unroll 1
  for (int column = first + kKept * kNormChunk; column < hidden; column += kNormChunk) {
    const float4 x = load_columns(row, column, hidden, args.x_vector);
    const float4 w = load_columns(args.weight, column, hidden, args.parameters_vector);
    const float4 b = kBias ? load_columns(args.bias, column, hidden, args.parameters_vector) : float4{};
    put_columns(y, column, hidden, args.y_vector, args.accumulate,
                there ? normalise<kKind>(x, factors, w, b) : b);
  }
}

// y = norm(rows of x).
template <class X, class Y>
void norm_to(const Context& context, const char* name, const Source& x, const Norm& norm, const View& y,
             bool accumulate = false) {
  const int hidden = static_cast<int>(y.shape[1]);
  const NormRows rows = {.x = x,
                         .weight = norm.weight.as<float>(),
                         .bias = static_cast<const float*>(norm.bias.data),
                         .eps = norm.eps,
                         .hidden = hidden,
                         .y_stride = y.row_stride,
                         .x_vector = aligned<X>(x, 4 * sizeof(X)),
                         .parameters_vector = aligned(norm.weight, 16) && aligned(norm.bias, 16),
                         .y_vector = aligned(y, 4 * sizeof(Y)),
                         .accumulate = accumulate};
  const LaunchShape shape = {.grid = dim3(static_cast<unsigned>(y.shape[0])),
                             .block = dim3(kNormThreads),
                             .division = division_for(y.shape[0])};
  const auto with = [&]<NormKind kKind>() {
    launch(context, name, hidden <= kNormChunk ? norm_rows<kKind, X, Y, 1> : norm_rows<kKind, X, Y, 4>, shape,
           rows, static_cast<Y*>(y.data));
  };
  norm.rms ? with.template operator()<NormKind::kRms>() : with.template operator()<NormKind::kLayer>();
}

Source rows_of(const View& x) { return {.data = x.data, .stride = x.row_stride, .rows = x.shape[0]}; }

}  // namespace

void layer_norm(const Context& context, const LayerNormArgs& args) {
  dispatch_float(args.y.dtype, [&]<class T>() {
    norm_to<float, device_t<T>>(context, "layer_norm", rows_of(args.x), args.norm, args.y, args.accumulate);
  });
}

void add(const Context& context, const AddArgs& args) {
  Source source = rows_of(args.x);
  source.bias = static_cast<const float*>(args.bias.data);
  move<true>(context, "add", source, args.x.dtype, args.y);
}

void gather_rows(const Context& context, const GatherRowsArgs& args) {
  Source source = rows_of(args.x);
  source.ids = args.rows.data();
  move<false>(context, "gather_rows", source, args.x.dtype, args.y);
}

void embedding(const Context& context, const EmbeddingArgs& args) {
  const Source source = {.data = args.table->data.view().data,
                         .stride = args.table->padded_cols(),
                         .rows = args.table->rows,
                         .ids = args.ids.data(),
                         .previous = args.previous_ids.data(),
                         .begin = args.vocab_begin,
                         .scales = static_cast<const float*>(args.table->scales.view().data),
                         .factor = args.scale};
  if (args.accumulate) return move<true>(context, "embedding", source, args.table->dtype, args.y);
  const bool int8 = args.table->dtype == DType::kI8;
  if (int8 || args.norm.weight.empty()) move<false>(context, "embedding", source, args.table->dtype, args.y);
  if (args.norm.weight.empty()) return;
  // Int8 rows are normed once they are scaled.
  if (int8) return cuda::layer_norm(context, {.x = args.y, .norm = args.norm, .y = args.y});
  dispatch_float(args.table->dtype, [&]<class T>() {
    norm_to<device_t<T>, float>(context, "embedding_norm", source, args.norm, args.y);
  });
}

}  // namespace bolide::cuda
