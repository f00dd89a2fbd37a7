#pragma once

#include <cuda_runtime_api.h>

#include "base/error.h"

namespace bolide::cuda {

// Throws for a failed CUDA call, naming it. Out of memory is kResource, all else kInternal.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it, where it is not sticky
  const ErrorCode code = status == cudaErrorMemoryAllocation ? ErrorCode::kResource : ErrorCode::kInternal;
  fail(code, "CUDA: {} failed: {}", what, cudaGetErrorString(status));
}

// After a kernel launch.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

}  // namespace bolide::cuda
