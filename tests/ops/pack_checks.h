#pragma once

#include "tensor/context.h"

namespace bolide::test {

// What pack_block promises, as EXPECTations, in the memory and the layout of the context's device.
void expect_blocks_go_anywhere(const Context& context);
void expect_blocks_meet(const Context& context);
// quantize_rows() and unpack().
void expect_rows_quantized(const Context& context);

}  // namespace bolide::test
