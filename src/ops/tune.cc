#include "ops/tune.h"

#include "ops/check.h"
#include "tensor/has_cuda.h"

namespace bolide {
namespace {

// Calls `call` where there is a library to call.
template <class Call>
auto on_gpu(Device device, const Call& call) -> decltype(call()) {
  if constexpr (kHasCuda) {
    if (device == Device::kCuda) return call();
  }
  fail(ErrorCode::kUnsupported,
       "products on the CPU have one kernel for a shape: there is nothing to choose from");
}

}  // namespace

void prepare_gemms(const Context& context, std::span<const CublasLtGemm> products, int64_t most_tokens) {
  on_gpu(context.device, [&] { cuda::prepare_gemms(context, products, most_tokens); });
}

std::string cublaslt_version() {
  return on_gpu(Device::kCuda, [] { return cuda::cublaslt_version(); });
}

std::vector<CublasLtGemm> gemms_met(const Context& context) {
  return on_gpu(context.device, [&] { return cuda::gemms_met(context); });
}

void forget_gemms(const Context& context) {
  on_gpu(context.device, [&] { cuda::forget_gemms(context); });
}

GemmTuning tune_gemm(const Context& context, const CublasLtGemm& product, bool quick) {
  return on_gpu(context.device, [&] { return cuda::tune_gemm(context, product, quick); });
}

void use_algorithm(const Context& context, const CublasLtGemm& product, const CublasLtAlgorithm& algorithm) {
  on_gpu(context.device, [&] { cuda::use_algorithm(context, product, algorithm); });
}

}  // namespace bolide
