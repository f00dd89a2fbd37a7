#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace bolide {

// Stack-like scratch memory for activations: blocks live until the Scope that was open when they were taken
// ends, and the same memory then serves the next layer. Grows when first needed and keeps what it has, in one
// piece: after a step that took several blocks they make way for one. (Kept side by side, a series of ever
// longer prompts would leave a block behind for each length.) One thread at a time.
class Arena {
 public:
  explicit Arena(Device device = Device::kCpu) : device_(device) {}
  // Has no memory and counts what is taken: for a run that is to tell how much it would need (see
  // Context::counting()). Throws kUsage where that is more than 2^63 bytes.
  static Arena for_counting(Device device) {
    Arena arena(device);
    arena.counting_ = true;
    return arena;
  }
  bool counting() const { return counting_; }
  // The most bytes that were ever taken at once.
  size_t peak() const { return peak_; }
  // Uninitialised; 64-byte aligned on the CPU, 256-byte on a GPU.
  View take(Shape shape, DType dtype);
  // Takes memory for blocks of `bytes` in all, so that no step has to. Before the first take().
  void reserve(size_t bytes);
  // Changes whenever blocks come or go: while it stays, the same series of takes gives the same memory.
  uint64_t generation() const { return generation_; }

  class Scope {
   public:
    explicit Scope(Arena& arena)
        : arena_(arena), block_(arena.block_), used_(arena.used_), taken_(arena.taken_) {}
    ~Scope() {
      arena_.block_ = block_;
      arena_.used_ = used_;
      arena_.taken_ = taken_;
      if (taken_ == 0 && arena_.blocks_.size() > 1) {
        arena_.blocks_.clear();
        ++arena_.generation_;
      }
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_, used_, taken_;
  };

 private:
  View count(Shape shape, DType dtype);

  std::vector<Tensor> blocks_;
  Device device_;
  bool counting_ = false;
  size_t block_ = 0;  // index of the block being filled
  size_t used_ = 0;   // bytes used in it
  size_t taken_ = 0;  // bytes used in all
  size_t peak_ = 0;   // the most that taken_ ever was
  uint64_t generation_ = 0;
};

}  // namespace bolide
