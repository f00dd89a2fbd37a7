#pragma once

#include "ops/cuda/device/cluster.cuh"

// Copies from global into shared memory that go past the registers. Each thread waits for its own.
namespace bolide::cuda {

__device__ __forceinline__ void copy_word(void* to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from) : "memory");
}
// 16 bytes, of which the first `bytes` are copied and the others 0.
__device__ __forceinline__ void copy_vector(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void await_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace bolide::cuda
