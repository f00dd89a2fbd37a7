#pragma once

#include "tensor/arena.h"

namespace bolide {

// Where and how ops run. Passed down, never global. One Context belongs to one thread at a time.
struct Context {
  Device device = Device::kCpu;
  int threads = 1;         // OpenMP threads that a CPU op may use
  void* stream = nullptr;  // cudaStream_t on kCuda
  Arena* arena = nullptr;  // scratch for activations; never null inside a model
};

}  // namespace bolide
