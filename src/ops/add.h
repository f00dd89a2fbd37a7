#pragma once

#include "tensor/context.h"

namespace bolide {

struct AddArgs {
  View x;          // [tokens, hidden] fp32 or context.activation, rows may be strided
  View y;          // [tokens, hidden] fp32, rows may be strided; must not overlap x
  View bias = {};  // [hidden] fp32, or empty
};
// y += x + bias, in fp32.
void add(const Context& context, const AddArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void add(const Context& context, const AddArgs& args);
}  // namespace cpu
namespace cuda {
void add(const Context& context, const AddArgs& args);
}  // namespace cuda

}  // namespace bolide
