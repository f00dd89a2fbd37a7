#pragma once

#include <functional>
#include <vector>

#include "ops/guarded.h"
#include "ops/sample.h"

namespace bolide::test {

// Draws on some device; log-probabilities when asked for.
using Drawer = std::function<std::vector<int32_t>(const Guarded& logits, const std::vector<SampleRow>& rows,
                                                  std::vector<float>* log_probs)>;

// What sampling promises, as EXPECTations on whoever draws.
void expect_oracles_draws(const Drawer& draw, const std::vector<int64_t>& vocabs);
void expect_ties_by_rising_id(const Drawer& draw);
void expect_lowest_of_equals(const Drawer& draw);
void expect_nan_marks_the_row(const Drawer& draw);
void expect_only_finite_rows_draw(const Drawer& draw);
void expect_reproducible_and_fair(const Drawer& draw);

}  // namespace bolide::test
