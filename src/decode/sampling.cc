#include "decode/sampling.h"

#include <algorithm>
#include <cmath>

namespace bolide {

void check_sampling(const SamplingParams& params) {
  // Written so that NaN fails each test.
  if (params.temperature && !(*params.temperature >= 0 && std::isfinite(*params.temperature)))
    fail(ErrorCode::kUsage, "temperature is {}: it must be 0 (greedy) or more", *params.temperature);
  if (params.top_k < -1)
    fail(ErrorCode::kUsage, "top_k is {}: it must be 1 or more, or 0 or -1 (off)", params.top_k);
  if (!(params.top_p >= 0 && params.top_p <= 1))
    fail(ErrorCode::kUsage, "top_p is {}: it must be between 0 (off) and 1", params.top_p);
}

SampleRow make_sample_row(const SamplingParams& params, uint64_t tag, int64_t position) {
  SampleRow row{.temperature = params.temperature.value_or(1),
                .top_k = std::max(params.top_k, 0),
                .top_p = params.top_p,
                .seed = params.seed,
                .request = tag,
                .position = static_cast<uint64_t>(position)};
  if (!std::isfinite(1 / row.temperature)) {  // 0, or so little that logits would be divided to infinity
    row.temperature = 1;
    row.top_k = 1;
    row.top_p = 0;
  } else if (params.temperature && row.top_k == 0 && row.top_p == 0) {
    row.top_p = 1;
  }
  return row;
}

}  // namespace bolide
