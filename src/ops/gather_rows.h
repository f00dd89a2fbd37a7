#pragma once

#include <span>

#include "tensor/context.h"

namespace bolide {

struct GatherRowsArgs {
  View x;                         // [tokens, hidden] fp32
  std::span<const int32_t> rows;  // [n] on the device, each in [0, tokens)
  View y;                         // [n, hidden] fp32; must not overlap x
};
// y[i] = x[rows[i]].
void gather_rows(const Context& context, const GatherRowsArgs& args);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
void gather_rows(const Context& context, const GatherRowsArgs& args);
}  // namespace cpu
namespace cuda {
void gather_rows(const Context& context, const GatherRowsArgs& args);
}  // namespace cuda

}  // namespace bolide
