#include "ops/cuda/launch.h"

#include <map>
#include <mutex>

namespace bolide::cuda {

void allow_shared_memory(const void* kernel, const char* name, size_t bytes) {
  if (bytes <= 32 * 1024) return;
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, size_t> allowed;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  size_t& most = allowed[{device, kernel}];
  if (bytes <= most) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        name);
  most = bytes;
}

}  // namespace bolide::cuda
