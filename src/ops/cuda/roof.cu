#include <cublasLt.h>

#include <algorithm>
#include <limits>

#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"
#include "ops/roof.h"
#include "tensor/device.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

// Random values in [-1, 1): a multiplier that sees zeros draws less power and clocks higher than in a model.
__device__ __forceinline__ float noise(uint64_t i) {
  uint64_t x = i * 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x ^= x >> 27;
  return static_cast<float>(static_cast<int32_t>(x)) * 0x1.0p-31f;
}

template <class T>
__global__ void fill_noise(T* values, int64_t count) {
  wait_for_previous();
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step)
    values[i] = from_f32<T>(noise(static_cast<uint64_t>(i)));
}

// Reads all of it, in pieces that a block finds side by side: 16 bytes a thread, eight loads under way in
// each. What is stored in the end, practically never, keeps the loads alive.
__global__ void __launch_bounds__(kThreads) read_all(const uint4* from, int64_t count, uint32_t* unlikely) {
  constexpr int kLoads = 8;
  constexpr int64_t kPiece = kThreads * kLoads;
  wait_for_previous();
  uint32_t all = 0;
  for (int64_t at = blockIdx.x * kPiece + threadIdx.x; at < count; at += gridDim.x * kPiece) {
    uint4 v[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) v[i] = __ldcs(from + at + i * kThreads);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) all ^= v[i].x ^ v[i].y ^ v[i].z ^ v[i].w;
  }
  if (all == 0x5EED5EEDu) *unlikely = all;
}

template <class T>
void fill(const Context& context, const Tensor& tensor) {
  launch(context, "fill_noise", fill_noise<device_t<T>>,
         {.grid = dim3(static_cast<unsigned>(8 * multiprocessors())), .block = dim3(kThreads)},
         static_cast<device_t<T>*>(tensor.view().data), tensor.shape().count());
}

// Of several runs, after one that is not counted.
template <class Work>
double best_seconds(const Context& context, int runs, const Work& work) {
  const auto create = [] {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "cudaEventCreate");
    return std::shared_ptr<CUevent_st>(event, [](cudaEvent_t e) { cudaEventDestroy(e); });
  };
  const auto begin = create(), end = create();
  float best = std::numeric_limits<float>::max();
  for (int run = 0; run <= runs; ++run) {
    check(cudaEventRecord(begin.get(), stream_of(context)), "cudaEventRecord");
    work();
    check(cudaEventRecord(end.get(), stream_of(context)), "cudaEventRecord");
    check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
    if (run > 0) best = std::min(best, milliseconds);
  }
  return static_cast<double>(best) * 1e-3;
}

void check_blas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorCode::kInternal, "cuBLASLt: {} failed: {}", what, cublasLtGetStatusString(status));
}

// c = a b^T of square matrices, as a linear layer's rows and weights lie, by the algorithm that cuBLASLt
// itself thinks best.
class SquareGemm {
 public:
  SquareGemm(int64_t size, DType dtype) {
    const cudaDataType type = dtype == DType::kF16    ? CUDA_R_16F
                              : dtype == DType::kBF16 ? CUDA_R_16BF
                                                      : CUDA_R_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const auto extent = static_cast<uint64_t>(size);
    check_blas(cublasLtCreate(&handle_), "create");
    check_blas(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "descriptor");
    check_blas(cublasLtMatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                              sizeof(transposed)),
               "transposition");
    check_blas(cublasLtMatrixLayoutCreate(&layout_, type, extent, extent, size), "layout");
    check_blas(cublasLtMatmulPreferenceCreate(&preference_), "preference");
    const size_t bytes = workspace_.bytes();
    check_blas(cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                    &bytes, sizeof(bytes)),
               "workspace");
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    check_blas(cublasLtMatmulAlgoGetHeuristic(handle_, product_, layout_, layout_, layout_, layout_,
                                              preference_, 1, &result, &found),
               "heuristic");
    if (found == 0) fail(ErrorCode::kInternal, "cuBLASLt knows no algorithm for {}", name_of(dtype));
    algorithm_ = result.algo;
  }
  ~SquareGemm() {
    cublasLtMatmulPreferenceDestroy(preference_);
    cublasLtMatrixLayoutDestroy(layout_);
    cublasLtMatmulDescDestroy(product_);
    cublasLtDestroy(handle_);
  }
  SquareGemm(const SquareGemm&) = delete;
  SquareGemm& operator=(const SquareGemm&) = delete;

  void run(const Context& context, const void* a, const void* b, void* c) {
    const float one = 1, zero = 0;
    check_blas(cublasLtMatmul(handle_, product_, &one, a, layout_, b, layout_, &zero, c, layout_, c, layout_,
                              &algorithm_, workspace_.view().data, workspace_.bytes(), stream_of(context)),
               "matmul");
  }

 private:
  Tensor workspace_ = Tensor::allocate({int64_t{32} << 20}, DType::kU8, Device::kCuda);
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t layout_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
};

}  // namespace

// From memory: 4 GiB, or a quarter of what is free, are many times any second-level cache.
double measure_read_bandwidth(const Context& context) {
  constexpr size_t kUnit = size_t{1} << 20;  // every block's pieces are whole
  const size_t bytes = std::clamp(cuda_memory_free() / 4, kUnit, size_t{4} << 30) / kUnit * kUnit;
  const Tensor memory = Tensor::allocate({static_cast<int64_t>(bytes / 4)}, DType::kF32, Device::kCuda);
  const Tensor unlikely = Tensor::allocate({1}, DType::kI32, Device::kCuda);
  fill<float>(context, memory);
  const LaunchShape shape = {.grid = dim3(static_cast<unsigned>(8 * multiprocessors())),
                             .block = dim3(kThreads)};
  const double seconds = best_seconds(context, 10, [&] {
    launch(context, "read_all", read_all, shape, static_cast<const uint4*>(memory.view().data),
           static_cast<int64_t>(bytes / 16), static_cast<uint32_t*>(unlikely.view().data));
  });
  return static_cast<double>(bytes) / seconds;
}

// Of a matrix product large enough for the library's best: tensor cores for fp16 and bf16, exact fp32 FMA.
double measure_peak_flops(const Context& context, DType weight_dtype) {
  const int64_t size = weight_dtype == DType::kF32 ? 4096 : 8192;
  const auto square = [&] { return Tensor::allocate({size, size}, weight_dtype, Device::kCuda); };
  const Tensor a = square(), b = square(), c = square();
  dispatch_float(weight_dtype, [&]<class T>() {
    fill<T>(context, a);
    fill<T>(context, b);
  });
  SquareGemm gemm(size, weight_dtype);
  const double seconds =
      best_seconds(context, 10, [&] { gemm.run(context, a.view().data, b.view().data, c.view().data); });
  const double extent = static_cast<double>(size);
  return 2 * extent * extent * extent / seconds;
}

}  // namespace bolide::cuda
