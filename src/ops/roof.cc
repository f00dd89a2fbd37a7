#include "ops/roof.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {

double measure_read_bandwidth(const Context& context) {
  check_context(context);
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::measure_read_bandwidth(context);
  }
  return cpu::measure_read_bandwidth(context);
}

double measure_peak_flops(const Context& context, DType weight_dtype) {
  check_context(context);
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda) return cuda::measure_peak_flops(context, weight_dtype);
  }
  return cpu::measure_peak_flops(context, weight_dtype);
}

const char* instruction_set(DType weight_dtype) { return cpu::instruction_set(weight_dtype); }

}  // namespace bolide
