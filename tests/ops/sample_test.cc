#include <gtest/gtest.h>

#include <limits>

#include "ops/cpu/isa.h"
#include "ops/guarded.h"
#include "ops/ref/ref.h"

namespace bolide::test {
namespace {

class Sample : public testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override {
    before_ = cpu::isa();
    cpu::set_isa(GetParam());
  }
  void TearDown() override { cpu::set_isa(before_); }

  static std::vector<int32_t> ids_of(const Guarded& logits, const std::vector<SampleRow>& rows, int threads,
                                     std::vector<float>* log_probs = nullptr) {
    std::vector<int32_t> ids(rows.size());
    sample({.threads = threads}, {.logits = logits.view(),
                                  .rows = rows,
                                  .ids = ids,
                                  .log_probs = log_probs ? std::span(*log_probs) : std::span<float>()});
    return ids;
  }

 private:
  cpu::Isa before_ = cpu::Isa::kGeneric;
};

// Every kind of request against the oracle, which sorts. Where fp32 and double may honestly disagree on which
// side of a boundary the draw fell, the neighbour is right too.
TEST_P(Sample, AgreesWithTheOracle) {
  for (int64_t vocab : {1, 7, 33, 1000, 20011}) {
    Source source(29);
    std::vector<SampleRow> rows;
    for (int32_t top_k : {0, 1, 5, 40, 100000})
      for (float top_p : {0.0f, 0.3f, 0.9f, 0.999f, 1.0f})
        for (float temperature : {0.3f, 1.0f, 3.0f})
          rows.push_back({.temperature = temperature,
                          .top_k = top_k,
                          .top_p = top_p,
                          .seed = 5,
                          .request = rows.size(),
                          .position = 3});
    const Guarded logits = Guarded::random(static_cast<int64_t>(rows.size()), vocab, 3, source, 4);
    std::vector<float> log_probs(rows.size());
    const std::vector<int32_t> ids = ids_of(logits, rows, 1, &log_probs);
    int exact = 0;
    for (size_t r = 0; r < rows.size(); ++r) {
      SCOPED_TRACE(fmt::format("vocab {} top_k {} top_p {} temperature {}", vocab, rows[r].top_k,
                               rows[r].top_p, rows[r].temperature));
      const ref::Drawn want = ref::sample(logits.row(static_cast<int64_t>(r)), vocab, rows[r]);
      exact += ids[r] == want.id;
      if (want.margin > 1e-5) {
        EXPECT_EQ(ids[r], want.id);
        EXPECT_NEAR(log_probs[r], want.log_prob, 1e-5 * (1 + std::abs(want.log_prob)));
      } else {
        EXPECT_TRUE(ids[r] == want.id || ids[r] == want.other) << ids[r];
      }
    }
    EXPECT_GE(exact, static_cast<int>(rows.size()) - 2);  // the margin must not excuse everything
    for (int threads : {2, 3, 4}) EXPECT_EQ(ids_of(logits, rows, threads), ids);
  }
}

TEST_P(Sample, GreedyTakesTheLowestOfEquals) {
  for (int64_t vocab : {1, 5, 16, 50, 257}) {
    for (int64_t at = 0; at < vocab; ++at) {
      Guarded logits(1, vocab, 0);
      std::fill_n(logits.row(0), vocab, -5.0f);
      for (int64_t i = at; i < vocab; i += 7) logits.row(0)[i] = 2.5f;
      EXPECT_EQ(ids_of(logits, {SampleRow{}}, 1)[0], at);
    }
  }
}

TEST_P(Sample, NanMarksTheRow) {
  for (int64_t at : {0, 15, 16, 40, 48}) {
    Source source(31);
    Guarded logits = Guarded::random(4, 49, 1, source);
    logits.row(2)[at] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<int32_t> ids = ids_of(logits, std::vector<SampleRow>(4), 2);
    for (size_t r = 0; r < 4; ++r) EXPECT_EQ(ids[r] == kNanRow, r == 2) << at;
  }
}

TEST_P(Sample, InfinitiesAreLegal) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Guarded logits(3, 40, 0);
  for (int64_t r = 0; r < 3; ++r) std::fill_n(logits.row(r), 40, -kInf);
  logits.row(0)[7] = 1;      // all others banned
  logits.row(1)[30] = kInf;  // forced
  const std::vector<SampleRow> rows(3, SampleRow{.top_p = 0.9f});
  EXPECT_EQ(ids_of(logits, rows, 1), (std::vector<int32_t>{7, 30, 0}));
}

// The draw depends on (seed, request, position) and on nothing else, and follows the distribution.
TEST_P(Sample, ReproducibleAndFair) {
  constexpr int kDraws = 4000;
  Guarded logits(kDraws, 3, 0);
  std::vector<SampleRow> rows;
  for (int i = 0; i < kDraws; ++i) {
    for (int64_t id = 0; id < 3; ++id) logits.row(i)[id] = std::log(static_cast<float>(id + 1));
    rows.push_back({.top_p = 1, .seed = 9, .request = 2, .position = static_cast<uint64_t>(i)});
  }
  const std::vector<int32_t> ids = ids_of(logits, rows, 2);
  int counts[3] = {};
  for (int32_t id : ids) ++counts[id];
  for (int id = 0; id < 3; ++id)
    EXPECT_NEAR(counts[id], kDraws * (id + 1) / 6.0, 4 * std::sqrt(kDraws / 4.0));
  // One row alone draws what it drew among many.
  Source source(1);
  for (size_t i : {size_t{0}, size_t{17}, size_t{3999}}) {
    Guarded one(1, 3, 0);
    std::copy_n(logits.row(0), 3, one.row(0));
    EXPECT_EQ(ids_of(one, {rows[i]}, 1)[0], ids[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Sample, testing::ValuesIn(cpu::available_isas()),
                         [](const auto& info) { return std::string(cpu::name_of(info.param)); });

}  // namespace
}  // namespace bolide::test
