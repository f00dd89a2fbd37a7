#include "ops/sample_checks.h"

#include <gtest/gtest.h>

#include <limits>

#include "ops/ref/ref.h"

namespace bolide::test {
namespace {

// Rows of every kind of request.
std::vector<SampleRow> all_kinds() {
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
  return rows;
}

// Against the oracle, which sorts. Where fp32 and double may honestly disagree on which side of a boundary
// the draw fell, the neighbour is right too.
void expect_as_the_oracle(const Drawer& draw, const Guarded& logits, const std::vector<SampleRow>& rows) {
  const int64_t vocab = logits.view().shape[1];
  std::vector<float> log_probs(rows.size());
  const std::vector<int32_t> ids = draw(logits, rows, &log_probs);
  int exact = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    SCOPED_TRACE(fmt::format("vocab {} top_k {} top_p {} temperature {}", vocab, rows[r].top_k, rows[r].top_p,
                             rows[r].temperature));
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
  EXPECT_EQ(draw(logits, rows, nullptr), ids) << "without log-probabilities";
}

}  // namespace

void expect_oracles_draws(const Drawer& draw, const std::vector<int64_t>& vocabs) {
  for (int64_t vocab : vocabs) {
    Source source(29);
    const std::vector<SampleRow> rows = all_kinds();
    // Rows that begin at any address, and rows that begin at multiples of 16 bytes.
    for (int64_t gap : {3 - vocab % 2, (4 - vocab % 4) % 4})
      expect_as_the_oracle(draw, Guarded::random(static_cast<int64_t>(rows.size()), vocab, gap, source, 4),
                           rows);
  }
}

void expect_ties_by_rising_id(const Drawer& draw) {
  for (int64_t vocab : {50, 20011}) {
    Source source(43);
    const std::vector<SampleRow> rows = all_kinds();
    Guarded logits(static_cast<int64_t>(rows.size()), vocab, 0);
    for (size_t r = 0; r < rows.size(); ++r)
      for (int64_t i = 0; i < vocab; ++i)
        logits.row(static_cast<int64_t>(r))[i] = std::round(2 * source.normal());
    expect_as_the_oracle(draw, logits, rows);
  }
}

void expect_lowest_of_equals(const Drawer& draw) {
  for (int64_t vocab : {1, 5, 16, 50, 257}) {
    Guarded logits(vocab, vocab, 0);
    for (int64_t at = 0; at < vocab; ++at) {
      std::fill_n(logits.row(at), vocab, -5.0f);
      for (int64_t i = at; i < vocab; i += 7) logits.row(at)[i] = 2.5f;
    }
    const std::vector<int32_t> ids =
        draw(logits, std::vector<SampleRow>(static_cast<size_t>(vocab)), nullptr);
    for (int64_t at = 0; at < vocab; ++at) EXPECT_EQ(ids[static_cast<size_t>(at)], at) << vocab;
  }
}

void expect_nan_marks_the_row(const Drawer& draw) {
  for (int64_t vocab : {49, 20000}) {
    for (int64_t at : {int64_t{0}, int64_t{15}, int64_t{16}, int64_t{40}, vocab - 1}) {
      for (float nan : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()}) {
        Source source(31);
        Guarded logits = Guarded::random(4, vocab, 1, source);
        logits.row(2)[at] = nan;
        logits.row(2)[7] = std::numeric_limits<float>::infinity();
        std::vector<SampleRow> rows(4);
        for (int kind = 0; kind < 2; ++kind) {
          const std::vector<int32_t> ids = draw(logits, rows, nullptr);
          for (size_t r = 0; r < 4; ++r) EXPECT_EQ(ids[r] == kNoId, r == 2) << at;
          rows.assign(4, {.top_k = 3});
        }
      }
    }
  }
}

void expect_only_finite_rows_draw(const Drawer& draw) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (int64_t vocab : {40, 20000}) {
    Guarded logits(3, vocab, 0);
    for (int64_t r = 0; r < 3; ++r) std::fill_n(logits.row(r), vocab, -kInf);
    logits.row(0)[7] = 1;  // all others banned
    logits.row(1)[30] = kInf;
    for (const SampleRow& row : {SampleRow{.top_p = 0.9f}, SampleRow{.top_k = 4}, SampleRow{}}) {
      std::vector<float> log_probs(3);
      const std::vector<SampleRow> rows(3, row);
      EXPECT_EQ(draw(logits, rows, &log_probs), (std::vector<int32_t>{7, kNoId, kNoId}));
      EXPECT_EQ(log_probs[0], 0);
      EXPECT_TRUE(std::isnan(log_probs[1]) && std::isnan(log_probs[2])) << log_probs[1] << log_probs[2];
      EXPECT_EQ(draw(logits, rows, nullptr), (std::vector<int32_t>{7, kNoId, kNoId}));
    }
  }
}

// The draw depends on (seed, request, position) and on nothing else, and follows the distribution.
void expect_reproducible_and_fair(const Drawer& draw) {
  constexpr int kDraws = 4000;
  Guarded logits(kDraws, 3, 0);
  std::vector<SampleRow> rows;
  for (int i = 0; i < kDraws; ++i) {
    for (int64_t id = 0; id < 3; ++id) logits.row(i)[id] = std::log(static_cast<float>(id + 1));
    rows.push_back({.top_p = 1, .seed = 9, .request = 2, .position = static_cast<uint64_t>(i)});
  }
  const std::vector<int32_t> ids = draw(logits, rows, nullptr);
  int counts[3] = {};
  for (int32_t id : ids) ++counts[id];
  for (int id = 0; id < 3; ++id)
    EXPECT_NEAR(counts[id], kDraws * (id + 1) / 6.0, 4 * std::sqrt(kDraws / 4.0));
  // One row alone draws what it drew among many.
  for (size_t i : {size_t{0}, size_t{17}, size_t{3999}}) {
    Guarded one(1, 3, 0);
    std::copy_n(logits.row(static_cast<int64_t>(i)), 3, one.row(0));
    EXPECT_EQ(draw(one, {rows[i]}, nullptr)[0], ids[i]);
  }
}

}  // namespace bolide::test
