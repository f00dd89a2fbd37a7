#pragma once

#include "tensor/context.h"

namespace bolide {

// Bytes per second that context.threads threads read from memory (a stream far larger than the caches; best
// of several).
double measure_read_bandwidth(const Context& context);
// FLOP/s of fused multiply-adds (or AMX / vdpbf16ps for bf16, where this machine's matmul uses them) from
// registers.
double measure_peak_flops(const Context& context, DType weight_dtype);
// "AVX2", "AVX-512", "AVX-512 + AMX-BF16", ...: what the ops use on this machine for this weight dtype.
const char* instruction_set(DType weight_dtype);

// The backends, called through the functions above once arguments are checked.
namespace cpu {
double measure_read_bandwidth(const Context& context);
double measure_peak_flops(const Context& context, DType weight_dtype);
const char* instruction_set(DType weight_dtype);
}  // namespace cpu
namespace cuda {
double measure_read_bandwidth(const Context& context);
double measure_peak_flops(const Context& context, DType weight_dtype);
}  // namespace cuda

}  // namespace bolide
