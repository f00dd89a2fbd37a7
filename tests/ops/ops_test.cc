#include <gtest/gtest.h>

#include <functional>

#include "ops/cases.h"
#include "ops/cpu/isa.h"

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

 private:
  cpu::Isa before_ = cpu::Isa::kGeneric;
};

constexpr DType kDtypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// Odd sizes around every limit: panels of 16 and pairs of them, k of 32 and blocks of 512, row tiles of 4, 6,
// 12, 16 and 32.
TEST_P(Ops, MatmulShapes) {
  const int64_t shapes[][3] = {{1, 1, 1},    {1, 16, 32},  {1, 33, 65},    {1, 70, 1100},  {2, 17, 31},
                               {3, 48, 64},  {4, 40, 100}, {5, 31, 33},    {6, 64, 513},   {7, 50, 40},
                               {8, 96, 256}, {11, 33, 77}, {12, 40, 64},   {13, 100, 515}, {16, 35, 130},
                               {17, 20, 33}, {31, 16, 96}, {33, 70, 1030}, {50, 130, 64},  {200, 37, 70}};
  for (DType dtype : kDtypes)
    for (const auto& s : shapes)
      expect_right(*matmul_case({.tokens = s[0], .out = s[1], .in = s[2], .dtype = dtype}));
}

// Every height of the register tiles.
TEST_P(Ops, MatmulRowCounts) {
  for (DType dtype : kDtypes)
    for (int64_t tokens = 1; tokens <= 34; ++tokens)
      expect_right(*matmul_case({.tokens = tokens, .out = 40, .in = 70, .dtype = dtype, .gap = 5}));
}

TEST_P(Ops, MatmulBiasAndActivation) {
  for (DType dtype : kDtypes)
    for (Activation activation : {Activation::kNone, Activation::kGeluTanh, Activation::kGeluErf,
                                  Activation::kRelu, Activation::kSilu})
      for (int64_t tokens : {1, 5, 40})
        expect_right(*matmul_case({.tokens = tokens,
                                   .out = 43,
                                   .in = 24,
                                   .dtype = dtype,
                                   .bias = true,
                                   .activation = activation,
                                   .gap = 1}));
}

TEST_P(Ops, Norms) {
  for (int64_t hidden : {1, 7, 16, 33, 64, 100, 1024, 1030}) {
    if (hidden > 1) expect_right(*layer_norm_case(3, hidden, false));
    expect_right(*layer_norm_case(5, std::max<int64_t>(hidden, 2), true));
    expect_right(*add_case(5, std::max<int64_t>(hidden, 2)));
  }
}

TEST_P(Ops, EmbeddingAndGather) {
  for (DType dtype : kDtypes)
    for (int64_t hidden : {1, 8, 31, 64, 100})
      for (int64_t begin : {0, 30}) expect_right(*embedding_case(9, 37, hidden, dtype, begin));
  expect_right(*gather_rows_case(5, 33));
}

TEST_P(Ops, AttentionDecode) {
  for (DType dtype : kDtypes)
    for (int64_t head_size : {8, 20, 31, 64, 80, 128, 256})
      expect_right(*attention_case({.queries = {1, 1, 1, 2},
                                    .lengths = {1, 17, 300, 40},
                                    .heads = 6,
                                    .kv_heads = 3,
                                    .head_size = head_size,
                                    .dtype = dtype}));
}

TEST_P(Ops, AttentionPrefill) {
  for (DType dtype : kDtypes)
    for (int64_t head_size : {8, 31, 64, 96})
      for (bool alibi : {false, true})
        expect_right(*attention_case({.queries = {70, 1, 33, 5, 16},
                                      .lengths = {70, 40, 133, 5, 31},
                                      .heads = 3,
                                      .kv_heads = 3,
                                      .head_size = head_size,
                                      .page_size = head_size == 31 ? 8 : 16,
                                      .dtype = dtype,
                                      .alibi = alibi}));
  expect_right(
      *attention_case({.queries = {150}, .lengths = {300}, .heads = 4, .kv_heads = 2, .page_size = 3}));
}

INSTANTIATE_TEST_SUITE_P(Isa, Ops, testing::ValuesIn(cpu::available_isas()),
                         [](const auto& info) { return std::string(cpu::name_of(info.param)); });

}  // namespace
}  // namespace bolide::test
