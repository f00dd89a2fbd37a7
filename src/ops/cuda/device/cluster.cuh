#pragma once

#include <cstdint>

// Thread block clusters (compute capability 9.0): a barrier over their blocks, and values sent into each
// other's shared memory. A sent value counts on the receiver's mailbox barrier, so the receiver alone waits,
// and no memory fence stalls on the weights that are on their way. On older GPUs nothing may be launched with
// clusters, and these do nothing.
namespace bolide::cuda {

// Each arrive is followed by one wait, by all threads of all blocks: under racecheck a kernel whose threads
// left without did not end. Orders nothing that came before it, beyond open_mailbox().
__device__ __forceinline__ void cluster_arrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#endif
}

// By threads on any way; what each of them wrote before it is seen after the wait.
__device__ __forceinline__ void cluster_release() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}

__device__ __forceinline__ void cluster_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// By threads of a warp that have taken different ways.
__device__ __forceinline__ void cluster_wait_unaligned() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// Where the cluster's first block has what lies at `p` of this block's shared memory.
template <class T>
__device__ __forceinline__ T* in_first_block(T* p) {
#if __CUDA_ARCH__ >= 900
  uint64_t mapped;
  asm("mapa.u64 %0, %1, %2;" : "=l"(mapped) : "l"(reinterpret_cast<uint64_t>(p)), "r"(0));
  return reinterpret_cast<T*>(mapped);
#else
  return p;
#endif
}

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// By one thread, before this block arrives at the cluster's barrier; others may send once they have waited
// there.
__device__ __forceinline__ void open_mailbox(uint64_t* mailbox) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n fence.mbarrier_init.release.cluster;" ::"r"(
                   shared_address(mailbox))
               : "memory");
#endif
}

// By one thread, once a phase: how many bytes will come.
__device__ __forceinline__ void expect_mail(uint64_t* mailbox, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(mailbox)),
               "r"(bytes)
               : "memory");
#endif
}

// Until all that was expected in this phase (0, 1, 0, ...) has come, and can be read.
__device__ __forceinline__ void await_mail(uint64_t* mailbox, int phase) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n .reg .pred done;\nagain:\n"
      " mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n @!done bra again;\n}" ::
          "r"(shared_address(mailbox)),
      "r"(phase)
      : "memory");
#endif
}

// *slot = value and a count on *mailbox, both being the places in the shared memory of block `rank` of the
// cluster (which may be this one) that this block has at the given addresses.
__device__ __forceinline__ void send(float* slot, uint64_t* mailbox, int rank, float value) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n .reg .b32 to, at;\n mapa.shared::cluster.u32 to, %0, %2;\n mapa.shared::cluster.u32 at, %1, %2;\n"
      " st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [to], %3, [at];\n}" ::"r"(
          shared_address(slot)),
      "r"(shared_address(mailbox)), "r"(rank), "r"(__float_as_uint(value))
      : "memory");
#endif
}
__device__ __forceinline__ void send(float2* slot, uint64_t* mailbox, int rank, float2 value) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n .reg .b32 to, at;\n mapa.shared::cluster.u32 to, %0, %2;\n mapa.shared::cluster.u32 at, %1, %2;\n"
      " st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [to], {%3, %4}, [at];\n}" ::"r"(
          shared_address(slot)),
      "r"(shared_address(mailbox)), "r"(rank), "r"(__float_as_uint(value.x)), "r"(__float_as_uint(value.y))
      : "memory");
#endif
}

__device__ __forceinline__ void send(float4* slot, uint64_t* mailbox, int rank, float4 value) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n .reg .b32 to, at;\n mapa.shared::cluster.u32 to, %0, %2;\n mapa.shared::cluster.u32 at, %1, %2;\n"
      " st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [to], {%3, %4, %5, %6}, [at];\n}" ::"r"(
          shared_address(slot)),
      "r"(shared_address(mailbox)), "r"(rank), "r"(__float_as_uint(value.x)), "r"(__float_as_uint(value.y)),
      "r"(__float_as_uint(value.z)), "r"(__float_as_uint(value.w))
      : "memory");
#endif
}

}  // namespace bolide::cuda
