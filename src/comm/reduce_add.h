#pragma once

#include "comm/communicator.h"
#include "ops/add.h"

namespace bolide {

// What follows a row-parallel linear on several ranks: delta is summed over them, then y += delta. One call,
// so that a communicator may fuse the two (one-shot all-reduce on a GPU).
inline void reduce_add(const Context& context, const View& delta, const View& y) {
  all_reduce(context, delta);
  add(context, {.x = delta, .y = y});
}

}  // namespace bolide
