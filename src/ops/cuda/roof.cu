#include <cublasLt.h>

#include <algorithm>

#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/launch.h"
#include "ops/cuda/measure.h"
#include "ops/roof.h"
#include "tensor/device.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;

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
  fill_noise(context, memory);
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
  fill_noise(context, a);
  fill_noise(context, b);
  SquareGemm gemm(size, weight_dtype);
  const double seconds =
      best_seconds(context, 10, [&] { gemm.run(context, a.view().data, b.view().data, c.view().data); });
  const double extent = static_cast<double>(size);
  return 2 * extent * extent * extent / seconds;
}

}  // namespace bolide::cuda
