#pragma once

#include <cstdint>

namespace bolide::cpu {

// The largest value; NaN when any value is one.
float row_max(const float* x, int64_t count);
// The lowest index whose value is `value`.
int64_t find_value(const float* x, int64_t count, float value);
// out[i] = exp((x[i] - max) * scale); returns the sum.
double exp_row(const float* x, int64_t count, float max, float scale, float* out);

}  // namespace bolide::cpu
