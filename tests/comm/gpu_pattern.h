#pragma once

#include "tensor/context.h"

namespace bolide::test {

// Data that a GPU makes and checks by itself: whole numbers whose sums every float type holds exactly, and
// zeros of both signs. `seed` names a call, 0 <= rank < 8.
void fill_pattern(const Context& context, const View& x, uint32_t seed, int rank);
// mismatches [1] gets one more for each element of x that is not factor times the ranks' sum.
void count_mismatches(const Context& context, const View& x, uint32_t seed, int ranks, int factor,
                      uint32_t* mismatches);
// The same for what no one may change: bytes of which every fourth aligned word is 0x80000000, x [n]. In y
// [ranks, n] each rank has its own.
void fill_bytes(const Context& context, const View& x, uint32_t seed, int rank);
void count_wrong_bytes(const Context& context, const View& y, uint32_t seed, int ranks, uint32_t* mismatches);
// Keeps a stream busy for about this long.
void busy(const Context& context, int microseconds);
// Loads the kernels of above, which must not happen while another rank's kernel waits.
void load_pattern_kernels();

}  // namespace bolide::test
