#pragma once

#include "tensor/context.h"

namespace bolide {

// What ranks have gathered of each other's columns, made one matrix.
struct SideBySideArgs {
  View x;  // [rows, columns] of the first part, fp32 or int32; rows may be strided
  int64_t parts = 1;
  int64_t part_stride = 0;  // elements from a part to the next
  View y;                   // [rows, at most parts * columns] of the same type; rows may be strided
};
// y[r, p * columns + c] = x[r, c] of part p, as far as y goes. They must not overlap.
void side_by_side(const Context& context, const SideBySideArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void side_by_side(const Context& context, const SideBySideArgs& args);
}  // namespace cpu
namespace cuda {
void side_by_side(const Context& context, const SideBySideArgs& args);
}  // namespace cuda

}  // namespace bolide
