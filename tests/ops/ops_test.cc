#include <gtest/gtest.h>

#include "ops/cpu/isa.h"
#include "ops/shapes.h"

namespace bolide::test {
namespace {

// Every op on every instruction set that this machine has, against the oracle, with 1 to 4 threads.
class Ops : public testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override {
    before_ = cpu::isa();
    cpu::set_isa(GetParam());
  }
  void TearDown() override { cpu::set_isa(before_); }

  static void expect_right(OpCase& op) {
    SCOPED_TRACE(op.name());
    op.poison();
    op.run({.threads = 1});
    EXPECT_EQ(op.check(), "");
    const std::vector<std::byte> alone = op.output();
    for (int threads : {2, 3, 4}) {
      op.poison();
      op.run({.threads = threads});
      EXPECT_TRUE(op.output() == alone) << "differs with " << threads << " threads";
    }
  }
  static void expect_right(const Cases& cases) {
    ASSERT_FALSE(cases.empty());
    for (const auto& make : cases) expect_right(*make());
  }

 private:
  cpu::Isa before_ = cpu::Isa::kGeneric;
};

TEST_P(Ops, MatmulShapes) { expect_right(matmul_shapes(Device::kCpu)); }
TEST_P(Ops, MatmulRowCounts) { expect_right(matmul_row_counts(Device::kCpu)); }
TEST_P(Ops, MatmulBiasAndActivation) { expect_right(matmul_epilogues(Device::kCpu)); }
TEST_P(Ops, MatmulNormAndAccumulate) { expect_right(matmul_norms(Device::kCpu)); }
TEST_P(Ops, MatmulGated) { expect_right(matmul_gated(Device::kCpu)); }
TEST_P(Ops, MatmulArgmax) { expect_right(matmul_argmax(Device::kCpu)); }
TEST_P(Ops, Rows) { expect_right(row_ops(Device::kCpu)); }
TEST_P(Ops, SampleParts) { expect_right(sample_parts()); }
TEST_P(Ops, AttentionGroups) { expect_right(attention_groups(Device::kCpu)); }
TEST_P(Ops, AttentionPoisoned) { expect_right(attention_poisoned(Device::kCpu)); }
TEST_P(Ops, AttentionDecode) { expect_right(attention_decode(Device::kCpu)); }
TEST_P(Ops, AttentionPrefill) { expect_right(attention_prefill(Device::kCpu)); }
TEST_P(Ops, AttentionMasks) { expect_right(attention_masks(Device::kCpu)); }
TEST_P(Ops, AttentionRotary) { expect_right(attention_rotary(Device::kCpu)); }

INSTANTIATE_TEST_SUITE_P(Isa, Ops, testing::ValuesIn(cpu::available_isas()),
                         [](const auto& info) { return std::string(cpu::name_of(info.param)); });

}  // namespace
}  // namespace bolide::test
