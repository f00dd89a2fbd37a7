#include <gtest/gtest.h>

#include "ops/cpu/isa.h"
#include "ops/sample_checks.h"

namespace bolide::test {
namespace {

// On every instruction set that this machine has; the threads take rows from each other.
class Sample : public testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override {
    before_ = cpu::isa();
    cpu::set_isa(GetParam());
  }
  void TearDown() override { cpu::set_isa(before_); }

  static Drawer draw_with(int threads) {
    return
        [threads](const Guarded& logits, const std::vector<SampleRow>& rows, std::vector<float>* log_probs) {
          std::vector<int32_t> ids(rows.size());
          sample({.threads = threads}, {.logits = logits.view(),
                                        .rows = rows,
                                        .ids = ids,
                                        .log_probs = log_probs ? std::span(*log_probs) : std::span<float>()});
          return ids;
        };
  }

 private:
  cpu::Isa before_ = cpu::Isa::kGeneric;
};

TEST_P(Sample, AgreesWithTheOracle) {
  for (int threads : {1, 2, 3, 4}) expect_oracles_draws(draw_with(threads), {1, 7, 33, 1000});
  expect_oracles_draws(draw_with(2), {20011});
}
TEST_P(Sample, TiesByRisingId) { expect_ties_by_rising_id(draw_with(1)); }
TEST_P(Sample, GreedyTakesTheLowestOfEquals) { expect_lowest_of_equals(draw_with(1)); }
TEST_P(Sample, NanMarksTheRow) { expect_nan_marks_the_row(draw_with(2)); }
TEST_P(Sample, DrawsFromFiniteRowsOnly) { expect_only_finite_rows_draw(draw_with(1)); }
TEST_P(Sample, ReproducibleAndFair) { expect_reproducible_and_fair(draw_with(2)); }

INSTANTIATE_TEST_SUITE_P(Isa, Sample, testing::ValuesIn(cpu::available_isas()),
                         [](const auto& info) { return std::string(cpu::name_of(info.param)); });

}  // namespace
}  // namespace bolide::test
