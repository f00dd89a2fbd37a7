#include "worker/prepare.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "ops/tune.h"
#include "tensor/device.h"

namespace bolide {
namespace {

// Of the layers, as Linear asks for them, each kind once; their tokens are left open.
std::set<CublasLtGemm> gemms_of(const std::vector<WeightSpec>& weights, const Dist& dist, DType dtype,
                                DType y) {
  const bool alone = dist.tensor_size == 1;
  const auto has = [&](const std::string& name) {
    return std::any_of(weights.begin(), weights.end(),
                       [&](const WeightSpec& spec) { return spec.name == name; });
  };
  std::set<CublasLtGemm> gemms;
  for (const WeightSpec& spec : weights) {
    if (!spec.is_matrix() || !spec.is_split()) continue;
    // What ranks share the columns of goes to the residual stream, or to where the ranks' sum is made.
    const bool to_stream = spec.shard == Shard::kIn && alone;
    const std::string bias = spec.name.substr(0, spec.name.rfind('.')) + ".bias";
    const Shape shape = local_shape(spec, dist);
    gemms.insert({.out = shape[0],
                  .in = shape[1],
                  .in_dtype = dtype,
                  .y_dtype = to_stream ? DType::kF32 : y,
                  .bias = has(bias) && (to_stream || spec.shard == Shard::kOut),
                  .gelu = spec.activation == Activation::kGeluTanh,
                  .accumulate = to_stream});
  }
  return gemms;
}

}  // namespace

std::future<void> prepare_library(const Context& context, const std::vector<WeightSpec>& weights,
                                  const Dist& dist, DType data_type, int64_t most_tokens) {
  // Steps of more are long beside what they would wait for; and below this size of a layer they all are
  // short, and a model is sooner loaded than the library.
  constexpr int64_t kMaxTokens = 1024, kMinBytes = int64_t{4} << 20;
  const std::set<CublasLtGemm> kinds =
      gemms_of(weights, dist, data_type, activation_dtype(context.device, data_type));
  const std::vector<CublasLtGemm> products(kinds.begin(), kinds.end());
  int64_t elements = 0;
  for (const CublasLtGemm& p : products) elements += p.out * p.in;
  const int64_t bytes = elements * static_cast<int64_t>(size_of(data_type));
  if (bytes < kMinBytes) return {};
  const auto prepare = [=, most = std::min(most_tokens, kMaxTokens)] {
    use_cuda_device(context.device_index);
    const Stream stream(context.device);
    Context beside = context;
    beside.stream = stream.get();
    beside.arena = nullptr;
    try {
      prepare_gemms(beside, products, most);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kResource) throw;
      log::debug("cuBLASLt is not prepared: {}", error.what());  // the weights may still fit
    }
  };
  try {
    return std::async(std::launch::async, prepare);
  } catch (const std::system_error&) {  // no more threads: it waits until it is needed
    return {};
  }
}

}  // namespace bolide
