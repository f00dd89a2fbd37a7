#pragma once

#include <cuda_runtime_api.h>

#include "base/error.h"

namespace bolide::cuda {

// kResource: the calling thread's GPU has no memory left, and how much of it is free. `device` where it is
// not the thread's yet.
[[noreturn]] void fail_for_memory(const char* what, int device = -1);

// Throws for a failed CUDA call, naming it. Out of memory is kResource, all else kInternal.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it, where it is not sticky
  if (status == cudaErrorMemoryAllocation) fail_for_memory(what);
  fail(ErrorCode::kInternal, "CUDA: {} failed: {}", what, cudaGetErrorString(status));
}

// After a kernel launch.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

}  // namespace bolide::cuda
