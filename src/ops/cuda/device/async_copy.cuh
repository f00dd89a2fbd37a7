#pragma once

#include "ops/cuda/device/cluster.cuh"

// Copies from global into shared memory that go past the registers. Each thread waits for its own.
namespace bolide::cuda {

__device__ __forceinline__ void copy_word(void* to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from) : "memory");
}
// 16 bytes, of which the first `bytes` are copied and the others 0. `from` must be a valid address even where
// that is none.
__device__ __forceinline__ void copy_vector(uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void copy_vector(void* to, const void* from, int bytes) {
  copy_vector(shared_address(to), from, bytes);
}
__device__ __forceinline__ void await_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Copies in groups: ends one, and waits until at most kPending are under way.
__device__ __forceinline__ void end_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void await_copy_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace bolide::cuda
