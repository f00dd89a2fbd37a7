#pragma once

#include "tensor/context.h"

namespace bolide {

// What the tensor-parallel ranks of one stage do together. Every rank calls the same method with the same
// shapes in the same order. Context::tensor_comm points to it; null is a group of one, for which each call
// below is a no-op.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int size() const = 0;
  // x = sum over ranks of x, element-wise in rank order, so that a run repeats bit for bit. x is contiguous
  // fp32.
  virtual void all_reduce(const Context& context, const View& x) = 0;
  // y [rows, size() * cols] = every rank's x [rows, cols] side by side in rank order.
  virtual void all_gather_columns(const Context& context, const View& x, const View& y) = 0;
};

// x = sum over the ranks of context.tensor_comm.
inline void all_reduce(const Context& context, const View& x) {
  if (context.tensor_comm) context.tensor_comm->all_reduce(context, x);
}

}  // namespace bolide
