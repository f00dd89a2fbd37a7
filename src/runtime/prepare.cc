#include "runtime/prepare.h"

#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "ops/tune.h"
#include "tensor/device.h"

namespace bolide {
namespace {

// As SelfAttention and Mlp ask for them; their tokens are left open.
std::vector<CublasLtGemm> gemms_of(const ModelConfig& model, const Dist& dist, DType weights, DType y) {
  const int64_t heads = dist.tensor_part(model.heads).size(),
                kv_heads = dist.head_part(model.kv_heads).size();
  const int64_t q = heads * model.head_size, kv = kv_heads * model.head_size;
  const int64_t inter = dist.tensor_part(model.inter_size).size();
  const auto forward = [&](int64_t out, bool gelu) {
    return CublasLtGemm{
        .out = out, .in = model.hidden_size, .in_dtype = weights, .y_dtype = y, .bias = true, .gelu = gelu};
  };
  // To the residual stream, or to where the ranks' sum is made.
  const bool alone = dist.tensor_size == 1;
  const auto add = [&](int64_t in) {
    return CublasLtGemm{.out = model.hidden_size,
                        .in = in,
                        .in_dtype = weights,
                        .y_dtype = alone ? DType::kF32 : y,
                        .bias = alone,
                        .accumulate = alone};
  };
  return {forward(q + 2 * kv, false), add(q), forward(inter, true), add(inter)};
}

}  // namespace

std::future<void> prepare_library(const Context& context, const ModelConfig& model, const Dist& dist,
                                  DType data_type, int64_t most_tokens) {
  // Steps of more are long beside what they would wait for; and below this size of a layer they all are
  // short, and a model is sooner loaded than the library.
  constexpr int64_t kMaxTokens = 1024, kMinBytes = int64_t{4} << 20;
  const std::vector<CublasLtGemm> products =
      gemms_of(model, dist, data_type, activation_dtype(context.device, data_type));
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
