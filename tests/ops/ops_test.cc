#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ops/cpu/isa.h"
#include "ops/shapes.h"

namespace bolide::test {
namespace {

// Every op on every instruction set that this machine has, against the oracle, with 1 to 4 threads. A case
// and its oracle are made once for all of them: they take longer than the op does.
class Ops : public testing::Test {
 protected:
  void TearDown() override { cpu::set_isa(before_); }

  static void expect_right(OpCase& op) {
    for (const cpu::Isa isa : cpu::available_isas()) {
      SCOPED_TRACE(fmt::format("{} {}", op.name(), cpu::name_of(isa)));
      cpu::set_isa(isa);
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
  }
  static void expect_right(const Cases& cases) {
    ASSERT_FALSE(cases.empty());
    for (const auto& make : cases) expect_right(*make());
  }

 private:
  const cpu::Isa before_ = cpu::isa();
};

TEST_F(Ops, MatmulShapes) { expect_right(matmul_shapes(Device::kCpu)); }
TEST_F(Ops, MatmulRowCounts) { expect_right(matmul_row_counts(Device::kCpu)); }
TEST_F(Ops, MatmulBiasAndActivation) { expect_right(matmul_epilogues(Device::kCpu)); }
TEST_F(Ops, MatmulNormAndAccumulate) { expect_right(matmul_norms(Device::kCpu)); }
TEST_F(Ops, MatmulGated) { expect_right(matmul_gated(Device::kCpu)); }
TEST_F(Ops, MatmulArgmax) { expect_right(matmul_argmax(Device::kCpu)); }
TEST_F(Ops, Rows) { expect_right(row_ops(Device::kCpu)); }
TEST_F(Ops, HeadNorms) { expect_right(head_norms(Device::kCpu)); }
TEST_F(Ops, SampleParts) { expect_right(sample_parts()); }
TEST_F(Ops, AttentionGroups) { expect_right(attention_groups(Device::kCpu)); }
TEST_F(Ops, AttentionPoisoned) { expect_right(attention_poisoned(Device::kCpu)); }
TEST_F(Ops, AttentionDecode) { expect_right(attention_decode(Device::kCpu)); }
TEST_F(Ops, AttentionPrefill) { expect_right(attention_prefill(Device::kCpu)); }
TEST_F(Ops, AttentionMasks) { expect_right(attention_masks(Device::kCpu)); }
TEST_F(Ops, AttentionRotary) { expect_right(attention_rotary(Device::kCpu)); }

}  // namespace
}  // namespace bolide::test
