#pragma once

#include <cuda_runtime.h>

#include "tensor/context.h"
#include "tensor/cuda/check.h"

// Host side of the CUDA kernels: how they are launched, and what they know of the GPU.
namespace bolide::cuda {

inline cudaStream_t stream_of(const Context& context) { return static_cast<cudaStream_t>(context.stream); }

// Multiprocessors of the current GPU, 132 on Hopper.
inline int multiprocessors() {
  static const int count = [] {
    int device = 0, value = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    return value;
  }();
  return count;
}

// Clusters came with compute capability 9.0.
inline bool has_clusters() {
  static const bool has = [] {
    int device = 0, major = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
          "cudaDeviceGetAttribute");
    return major >= 9;
  }();
  return has;
}

// How a multiprocessor's memory is divided between shared memory and first-level cache. That changes only
// while the multiprocessor is empty: a kernel that wants another division than the one before does not start
// beside it. Loads on their way to registers have their place in the cache (with the least of it bloom-560m's
// head took 167 us instead of 124 on an H200), what the copy engine brings is in shared memory.
enum class Division : int { kDriversChoice, kMaxShared };

// For the kernels of a step with so many rows: from 9 on, its products use the copy engine.
constexpr Division division_for(int64_t rows) {
  return rows > 8 ? Division::kMaxShared : Division::kDriversChoice;
}

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // dynamic; permission for much is asked for here
  unsigned cluster_x = 1;   // blocks of a cluster along grid.x
  Division division = Division::kDriversChoice;
};

// Lets `kernel` have so much dynamic shared memory on this thread's GPU. Up to 48 KiB, the kernel's own
// arrays included, need no permission; those arrays have at most 16 KiB where there is dynamic memory, too. A
// permission only grows: a smaller one would take away what another thread is about to launch with.
// Thread-safe.
void allow_shared_memory(const void* kernel, const char* name, size_t bytes);

// Launches with programmatic dependent launch: the kernel may start while its predecessor on the stream still
// runs, so EVERY kernel launched by this function must call wait_for_previous() (device/grid.cuh) in every
// thread before it reads what earlier kernels wrote or writes anything, and should call let_next_start()
// right after it: the next kernel's blocks then ask for their weights while this one computes, but not those
// of the kernel after next while this one still waits for its few bytes of x (17.1 against 15.2 us for the
// four products of a layer of bloom-560m on an H200). Since each kernel waits for its predecessor's end, the
// wait covers all before it, too.
template <class... Params, class... Args>
void launch(const Context& context, const char* name, void (*kernel)(Params...), const LaunchShape& shape,
            Args&&... args) {
  allow_shared_memory(reinterpret_cast<const void*>(kernel), name, shape.shared_bytes);
  cudaLaunchAttribute attributes[3] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  unsigned count = 1;
  if (shape.cluster_x > 1) {
    attributes[1].id = cudaLaunchAttributeClusterDimension;
    attributes[1].val.clusterDim = {shape.cluster_x, 1, 1};
    ++count;
  }
  if (shape.division == Division::kMaxShared) {
#if CUDART_VERSION >= 12080
    attributes[count].id = cudaLaunchAttributePreferredSharedMemoryCarveout;
    attributes[count].val.sharedMemCarveout = cudaSharedmemCarveoutMaxShared;
    ++count;
#else  // There the kernel keeps it, for few rows as well.
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared),
          name);
#endif
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream_of(context);
  config.attrs = attributes;
  config.numAttrs = count;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(std::forward<Args>(args))...), name);
}

}  // namespace bolide::cuda
