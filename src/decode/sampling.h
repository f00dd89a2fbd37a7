#pragma once

#include "bolide/sampling.h"
#include "ops/sample.h"

namespace bolide {

// kUsage, naming the field and what it may be, for parameters that no draw can honour.
void check_sampling(const SamplingParams& params);

// The row of ops/sample.h that draws token `position` of the sequence (its prompt counted in) of request
// `tag`. Counting from the prompt's start means that a sequence cut off and fed again as a longer prompt goes
// on as it would have.
SampleRow make_sample_row(const SamplingParams& params, uint64_t tag, int64_t position);

}  // namespace bolide
