#pragma once

#include "tensor/arena.h"

namespace bolide {

class Communicator;

// Where and how ops run. Passed down, never global. One Context belongs to one thread at a time.
struct Context {
  Device device = Device::kCpu;
  int threads = 1;                      // OpenMP threads that a CPU op may use
  void* stream = nullptr;               // cudaStream_t on kCuda
  Arena* arena = nullptr;               // scratch for activations; never null inside a model
  Communicator* tensor_comm = nullptr;  // the ranks that share each layer's weights; null: this one alone
};

}  // namespace bolide
