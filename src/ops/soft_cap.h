#pragma once

#include "tensor/context.h"

namespace bolide {

struct SoftCapArgs {
  View x;         // [rows, columns] fp32, in place; rows may be strided
  float cap = 0;  // above 0
};
// x = cap * tanh(x / cap). What is not finite stays: a logit that is no number must not become one. (Which
// column is the largest does not change.)
void soft_cap(const Context& context, const SoftCapArgs& args);

// The backends, called through the function above once arguments are checked.
namespace cpu {
void soft_cap(const Context& context, const SoftCapArgs& args);
}  // namespace cpu
namespace cuda {
void soft_cap(const Context& context, const SoftCapArgs& args);
}  // namespace cuda

}  // namespace bolide
