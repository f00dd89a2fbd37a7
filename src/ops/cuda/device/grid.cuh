#pragma once

// Programmatic dependent launch, device side. See launch() in ops/cuda/launch.h for the rules.
namespace bolide::cuda {

// Until this returns, earlier kernels of the stream may still run: only weights and other memory that no
// kernel of the step writes may be read before it.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel's blocks may take the place of blocks that have ended, once all blocks of this one have
// called this (or ended).
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

}  // namespace bolide::cuda
