#pragma once

// The kernels that Highway 1.0.3 cannot express. As gemm_tile.h: plain data and declarations only. On a
// machine without the instructions, or another architecture, isa() never selects them.
#include "ops/cpu/gemm_tile.h"

namespace bolide::cpu {

// Tiles that multiply bf16 by bf16. Each comes with its packing of x: rows [0, rows) of x, `columns` columns
// (padded with zeros to a multiple of 32), into a group of `group` rows. What missing rows of the last group
// hold is not defined: nothing reads their sums.
//   vdpbf16ps: [row / 4][k / 2][4][2]      AMX: [row / 16][k / 32][16][32]
const TileKernels& bf16_dot_kernels();
const TileKernels& amx_kernels();
void pack_bf16_dot(const float* x, int64_t stride, int64_t rows, int64_t columns, std::byte* out);
void pack_amx(const float* x, int64_t stride, int64_t rows, int64_t columns, std::byte* out);
// Around the AMX tiles of a thread: sets the tile registers up, and gives them back so that context switches
// need not save them.
void begin_amx();
void end_amx();
// FLOPs done by `steps` steps of independent multiplications in registers.
double bf16_dot_flops(int64_t steps);
double amx_flops(int64_t steps);

}  // namespace bolide::cpu
