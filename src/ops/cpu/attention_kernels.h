#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace bolide::cpu {

// One row of scores within one block of keys.
struct SoftmaxRow {
  float* scores = nullptr;     // [width]: q.k in, weights out; those of keys outside of [begin, end) become 0
  int64_t begin = 0, end = 0;  // keys that the query sees: none, when begin >= end
  int64_t width = 0;
  float scale = 1, slope = 0;
  float distance = 0;  // of the block's first key from the query: j - i
  // What few models have.
  const float* relative = nullptr;  // the head's biases by distance, that of 0; from -far to far
  int64_t far = 0;
  float soft_cap = 0;
};

// The running softmax of one query over the blocks so far.
struct SoftmaxState {
  float max = 0;  // meaningful once `sum` is over 0
  float sum = 0;
};

// Turns scores into weights relative to the new maximum; returns what sums of earlier blocks must be
// multiplied with.
float softmax_row(const SoftmaxRow& row, SoftmaxState& state);

// scores[j] = q . keys[j] for `count` keys; rows of head_size elements of `dtype`.
void dot_keys(const float* q, const std::byte* const* keys, int64_t count, int64_t head_size, DType dtype,
              float* scores);
// sum = sum * rescale + sum over j of weights[j] * values[j].
void add_values(const float* weights, const std::byte* const* values, int64_t count, int64_t head_size,
                DType dtype, float rescale, float* sum);
// x *= factor.
void scale_row(float* x, int64_t count, float factor);

}  // namespace bolide::cpu
