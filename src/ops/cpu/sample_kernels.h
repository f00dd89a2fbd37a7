#pragma once

#include <cstdint>

namespace bolide::cpu {

// The largest value; NaN when any value is one.
float row_max(const float* x, int64_t count);
// The lowest index whose value is `value`.
int64_t find_value(const float* x, int64_t count, float value);
// The indices of values of at least `bound`, rising; returns how many. `out` has room for all.
int64_t find_at_least(const float* x, int64_t count, float bound, int32_t* out);
// out[b] = the largest of x[b * size, (b + 1) * size), for whole blocks only. No value is NaN.
void block_max(const float* x, int64_t blocks, int64_t size, float* out);
// out[i] = exp((x[i] - max) * scale); returns the sum.
double exp_row(const float* x, int64_t count, float max, float scale, float* out);

}  // namespace bolide::cpu
