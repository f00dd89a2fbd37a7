// Matrix products of many rows through cuBLASLt.
#include <cublasLt.h>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "ops/cuda/device/activation.cuh"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/matmul_kernels.h"
#include "tensor/device.h"

namespace bolide::cuda {
namespace {

void check_lt(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::kResource : ErrorCode::kInternal,
       "cuBLASLt: {} failed: {}", what, cublasLtGetStatusString(status));
}

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

// Hopper's largest split-K plans want 32 MiB.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;

// What decides which algorithm serves a product best.
struct Problem {
  int64_t out = 0, in = 0, tokens = 0, w_stride = 0, x_stride = 0, y_stride = 0;
  uint32_t y_alignment = 16;  // of its rows, in bytes
  DType in_dtype = DType::kF16, y_dtype = DType::kF16;
  bool bias = false, gelu = false, accumulate = false;
  auto operator<=>(const Problem&) const = default;
};

class Descriptors {
 public:
  explicit Descriptors(const Problem& p) {
    // Row-major y [tokens, out] = x W^T is column-major y^T [out, tokens] = W x^T, W's rows being columns.
    check_lt(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    const cublasLtEpilogue_t epilogue = p.gelu
                                            ? (p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU)
                                        : p.bias ? CUBLASLT_EPILOGUE_BIAS
                                                 : CUBLASLT_EPILOGUE_DEFAULT;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (p.bias) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(data_type(p.y_dtype)));
    layout(w_, data_type(p.in_dtype), p.in, p.out, p.w_stride);
    layout(x_, data_type(p.in_dtype), p.in, p.tokens, p.x_stride);
    layout(y_, data_type(p.y_dtype), p.out, p.tokens, p.y_stride);
  }
  ~Descriptors() {
    if (product_) cublasLtMatmulDescDestroy(product_);
    for (cublasLtMatrixLayout_t l : {w_, x_, y_})
      if (l) cublasLtMatrixLayoutDestroy(l);
  }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    check_lt(cublasLtMatmulDescSetAttribute(product_, attribute, &value, sizeof(value)),
             "cublasLtMatmulDescSetAttribute");
  }
  void set_tokens(int64_t tokens) {
    const uint64_t columns = static_cast<uint64_t>(tokens);
    for (cublasLtMatrixLayout_t l : {x_, y_}) {
      check_lt(cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof(columns)),
               "cublasLtMatrixLayoutSetAttribute");
    }
  }
  cublasLtMatmulDesc_t product() const { return product_; }
  cublasLtMatrixLayout_t w() const { return w_; }
  cublasLtMatrixLayout_t x() const { return x_; }
  cublasLtMatrixLayout_t y() const { return y_; }

 private:
  static void layout(cublasLtMatrixLayout_t& to, cudaDataType_t type, int64_t rows, int64_t cols,
                     int64_t stride) {
    check_lt(cublasLtMatrixLayoutCreate(&to, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols),
                                        stride),
             "cublasLtMatrixLayoutCreate");
  }
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr, x_ = nullptr, y_ = nullptr;
};

// What an algorithm is chosen for: the question takes cuBLASLt about 0.1 ms, and every step of ragged prompts
// has another number of tokens.
int64_t rounded_tokens(int64_t tokens) {
  int64_t step = 16;
  while (tokens > 16 * step) step *= 2;
  return (tokens + step - 1) / step * step;
}

// With what a product runs.
struct Choice {
  std::unique_ptr<Descriptors> descriptors;
  cublasLtMatmulAlgo_t algorithm;
};

class Preference {
 public:
  explicit Preference(const Problem& problem) {
    check_lt(cublasLtMatmulPreferenceCreate(&preference_), "cublasLtMatmulPreferenceCreate");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    // Sums that are split over blocks must not be rounded to y's type in between: an ulp and more.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{16});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t{16});
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, problem.y_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, problem.y_alignment);
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check_lt(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof(value)),
             "cublasLtMatmulPreferenceSetAttribute");
  }
  cublasLtMatmulPreference_t preference_ = nullptr;
};

// One for each GPU. Thread-safe: engines of several threads may share a GPU.
class Library {
 public:
  Library() { check_lt(cublasLtCreate(&handle_), "cublasLtCreate"); }

  void run(const Context& context, const Problem& problem, const MatmulArgs& args, const View& x,
           const View& workspace) {
    const std::lock_guard lock(mutex_);
    Problem rounded = problem;
    rounded.tokens = rounded_tokens(problem.tokens);
    const Choice& chosen = choice(rounded);
    Descriptors& d = *chosen.descriptors;
    d.set_tokens(problem.tokens);
    if (problem.bias) d.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, args.bias.data);
    const float alpha = 1, beta = args.accumulate ? 1 : 0;
    check_lt(cublasLtMatmul(handle_, d.product(), &alpha, args.w->data.view().data, d.w(), x.data, d.x(),
                            &beta, args.y.data, d.y(), args.y.data, d.y(), &chosen.algorithm, workspace.data,
                            kWorkspaceBytes, stream_of(context)),
             "cublasLtMatmul");
  }

 private:
  const Choice& choice(const Problem& problem) {
    Choice& made = choices_[problem];
    if (made.descriptors) return made;
    auto descriptors = std::make_unique<Descriptors>(problem);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const Preference preference(problem);
    check_lt(cublasLtMatmulAlgoGetHeuristic(handle_, descriptors->product(), descriptors->w(),
                                            descriptors->x(), descriptors->y(), descriptors->y(),
                                            preference.get(), 1, &best, &found),
             "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0) {
      fail(ErrorCode::kInternal, "cuBLASLt has no algorithm for {} x {} x {} in {}", problem.tokens,
           problem.out, problem.in, name_of(problem.in_dtype));
    }
    made.algorithm = best.algo;
    made.descriptors = std::move(descriptors);
    return made;
  }

  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Problem, Choice> choices_;
};

Library& library() {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<Library>> all;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  std::unique_ptr<Library>& one = all[device];
  if (!one) one = std::make_unique<Library>();
  return *one;
}

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

void library_matmul(const Context& context, const MatmulArgs& args) {
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
  const Problem problem = {.out = w.rows,
                           .in = w.cols,
                           .tokens = tokens,
                           .w_stride = w.padded_cols(),
                           .x_stride = tokens > 1 ? x.row_stride : w.padded_cols(),
                           .y_stride = tokens > 1 ? args.y.row_stride : w.rows,
                           .y_alignment = row_alignment(args.y),
                           .in_dtype = w.dtype,
                           .y_dtype = args.y.dtype,
                           .bias = !args.bias.empty(),
                           .gelu = gelu,
                           .accumulate = args.accumulate};
  const View workspace = arena.take({static_cast<int64_t>(kWorkspaceBytes)}, DType::kU8);
  library().run(context, problem, args, x, workspace);
  if (args.activation != Activation::kNone && !gelu) activate_rows(context, args.y, args.activation);
}

}  // namespace bolide::cuda
