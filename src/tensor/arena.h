#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace bolide {

// Stack-like scratch memory for activations: blocks live until the Scope that was open when they were taken
// ends, and the same memory then serves the next layer. Grows when first needed, keeps what it has. One
// thread at a time.
class Arena {
 public:
  explicit Arena(Device device = Device::kCpu) : device_(device) {}
  // Uninitialised, 64-byte aligned.
  View take(Shape shape, DType dtype);

  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_) {}
    ~Scope() {
      arena_.block_ = block_;
      arena_.used_ = used_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_, used_;
  };

 private:
  std::vector<Tensor> blocks_;
  Device device_;
  size_t block_ = 0;  // index of the block being filled
  size_t used_ = 0;   // bytes used in it
};

}  // namespace bolide
