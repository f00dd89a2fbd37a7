#pragma once

#include "comm/communicator.h"
#include "ops/norm.h"

namespace bolide {

// What follows a row-parallel linear: delta is summed over the tensor ranks, then add_norm. One call, so that
// a communicator may fuse the two (one-shot all-reduce on a GPU).
inline void reduce_add_norm(const Context& context, const AddNormArgs& args) {
  all_reduce(context, args.delta);
  add_norm(context, args);
}

}  // namespace bolide
