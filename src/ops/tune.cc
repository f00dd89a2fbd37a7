#include "ops/tune.h"

#include "ops/check.h"

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

void prepare_products(const Context& context, std::span<const LibraryProduct> products, int64_t most_tokens) {
  on_gpu(context.device, [&] { cuda::prepare_products(context, products, most_tokens); });
}

std::string library_version() {
  return on_gpu(Device::kCuda, [] { return cuda::library_version(); });
}

std::vector<LibraryProduct> products_met(const Context& context) {
  return on_gpu(context.device, [&] { return cuda::products_met(context); });
}

void forget_products(const Context& context) {
  on_gpu(context.device, [&] { cuda::forget_products(context); });
}

TunedProduct tune_product(const Context& context, const LibraryProduct& product, bool quick) {
  return on_gpu(context.device, [&] { return cuda::tune_product(context, product, quick); });
}

void use_algorithm(const Context& context, const LibraryProduct& product, const LibraryAlgorithm& algorithm) {
  on_gpu(context.device, [&] { cuda::use_algorithm(context, product, algorithm); });
}

}  // namespace bolide
