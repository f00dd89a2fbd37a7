#pragma once

#include <functional>
#include <vector>

#include "ops/cases.h"

namespace bolide::test {

// The cases that the tests run on every device, in groups. On a GPU activations have the weights' type, and
// shapes come on top that its fast paths are made for.
using Cases = std::vector<std::function<Case()>>;
Cases matmul_shapes(Device device);
Cases matmul_row_counts(Device device);
Cases matmul_epilogues(Device device);
Cases matmul_norms(Device device);
Cases matmul_gated(Device device);
Cases matmul_some_rows(Device device);
Cases matmul_argmax(Device device);
Cases matmul_argmax_of_heads();
Cases row_ops(Device device);
Cases head_norms(Device device);
Cases sample_parts();
Cases sample_large_parts();
Cases attention_groups(Device device);
Cases attention_poisoned(Device device);
Cases attention_decode(Device device);
Cases attention_prefill(Device device);
Cases attention_masks(Device device);
Cases attention_rotary(Device device);

}  // namespace bolide::test
