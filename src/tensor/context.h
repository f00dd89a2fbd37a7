#pragma once

#include <span>

#include "tensor/arena.h"

namespace bolide {

class Communicator;

// Context::activation for weights of this type.
constexpr DType activation_dtype(Device device, DType weights) {
  return device == Device::kCpu ? DType::kF32 : weights;
}

// Where and how ops run. Passed down, never global. One Context belongs to one thread at a time.
struct Context {
  // Of a run that only counts the scratch memory it would take: ops check their arguments, take scratch and
  // return, and nothing is read, written or launched.
  bool counting() const { return arena && arena->counting(); }

  Device device = Device::kCpu;
  int device_index = 0;    // which GPU, as CUDA counts those that the process may see
  int threads = 1;         // OpenMP threads that a CPU op may use
  void* stream = nullptr;  // cudaStream_t on kCuda
  // What ops hand to each other besides the residual stream, which is fp32 everywhere. kF32 on the CPU.
  DType activation = DType::kF32;
  // A row's result is the same, bit for bit, whatever else is in the batch and however a prompt is cut. The
  // CPU keeps this anyway for a given kind of kernel; a GPU pays for it with slower prefill.
  bool deterministic = false;
  Arena* arena = nullptr;               // scratch for activations; never null inside a model
  Communicator* tensor_comm = nullptr;  // the ranks that share each layer's weights; null: this one alone
};

// Of such a context, a tensor without memory; else on its device, with these values.
Tensor tensor_of(const Context& context, std::span<const float> values);

}  // namespace bolide
