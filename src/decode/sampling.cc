#include "decode/sampling.h"

#include <cmath>

namespace bolide {

void check_sampling(const SamplingParams& params) {
  // Written so that NaN fails each test.
  if (!(params.temperature > 0) || !std::isfinite(params.temperature)) {
    fail(ErrorCode::kUsage, "temperature is {}: it must be above 0 (top_k 1 is greedy)", params.temperature);
  }
  if (params.top_k < 0) fail(ErrorCode::kUsage, "top_k is {}: it must be 0 (off) or more", params.top_k);
  if (!(params.top_p >= 0 && params.top_p <= 1))
    fail(ErrorCode::kUsage, "top_p is {}: it must be between 0 (off) and 1", params.top_p);
}

SampleRow make_sample_row(const SamplingParams& params, uint64_t tag, int64_t position) {
  return {.temperature = params.temperature,
          .top_k = params.top_k,
          .top_p = params.top_p,
          .seed = params.seed,
          .request = tag,
          .position = static_cast<uint64_t>(position)};
}

}  // namespace bolide
