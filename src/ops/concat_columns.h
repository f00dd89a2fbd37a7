#pragma once

#include "tensor/context.h"

namespace bolide {

// What ranks have gathered of each other's columns, made one matrix.
struct ConcatColumnsArgs {
  View x;  // [rows, columns] of the first part, fp32 or int32; rows may be strided
  int64_t parts = 1;
  int64_t part_stride = 0;  // elements from a part to the next
  View y;                   // [rows, at most parts * columns] of the same type; rows may be strided
};
// y[r, p * columns + c] = x[r, c] of part p, as far as y goes. They must not overlap.
void concat_columns(const Context& context, const ConcatColumnsArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void concat_columns(const Context& context, const ConcatColumnsArgs& args);
}  // namespace cpu
namespace cuda {
void concat_columns(const Context& context, const ConcatColumnsArgs& args);
}  // namespace cuda

}  // namespace bolide
