#include "decode/slices.h"

#include <gtest/gtest.h>

#include <limits>

#include "comm/dist.h"
#include "ops/candidates.h"
#include "ops/guarded.h"
#include "support/on_ranks.h"

namespace bolide::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Passes on what sampling may use, and counts it.
class Counted : public Communicator {
 public:
  explicit Counted(Communicator& comm) : comm_(comm) {}
  int size() const override { return comm_.size(); }
  int rank() const override { return comm_.rank(); }
  std::string_view name() const override { return "counted"; }
  void all_gather(const Context& context, const View& x, const View& y) override {
    ++messages;
    bytes += x.shape.count() * static_cast<int64_t>(size_of(x.dtype));
    comm_.all_gather(context, x, y);
  }
  void all_reduce(const Context&, const View&) override { not_for_sampling(); }
  void reduce_scatter(const Context&, const View&, const View&) override { not_for_sampling(); }
  void broadcast(const Context&, const View&, int) override { not_for_sampling(); }
  void send(const Context&, const View&, int) override { not_for_sampling(); }
  void receive(const Context&, const View&, int) override { not_for_sampling(); }
  void barrier(const Context&) override { not_for_sampling(); }

  int64_t messages = 0, bytes = 0;

 private:
  static void not_for_sampling() { fail(ErrorCode::kInternal, "sampling called another collective"); }
  Communicator& comm_;
};

struct Draws {
  std::vector<int32_t> ids;
  std::vector<float> log_probs;
};

// By greedy_slices().
constexpr int64_t kArgmax = -1;

class Batch {
 public:
  Batch(Guarded logits, std::vector<SampleRow> rows) : logits_(std::move(logits)), rows_(std::move(rows)) {
    for (size_t r = 0; r < rows_.size(); ++r) rows_[r].request = r;
  }
  Guarded& logits() { return logits_; }
  int64_t vocab() const { return logits_.view().shape[1]; }
  int64_t wanted() const { return candidates_wanted(rows_, vocab()); }

  // candidates: or kArgmax.
  Draws draw(const Context& context, const View& logits, int64_t candidates, bool log_probs) const {
    Draws made{std::vector<int32_t>(rows_.size(), -77),
               std::vector<float>(log_probs ? rows_.size() : 0, -77.0f)};
    if (candidates == kArgmax) {
      greedy_slices(context, rows_, made.ids, vocab(), [&](const Argmax& argmax) {
        bolide::candidates(
            context, {.logits = logits, .begin = argmax.begin, .values = argmax.values, .ids = argmax.ids});
      });
      return made;
    }
    sample_slices(context,
                  {.logits = logits,
                   .rows = rows_,
                   .ids = made.ids,
                   .log_probs = made.log_probs,
                   .all_greedy = std::all_of(rows_.begin(), rows_.end(), is_greedy)},
                  vocab(), candidates);
    return made;
  }

  // What `size` ranks draw is what one draws. Returns what a rank has sent.
  struct Sent {
    int64_t messages, bytes;
  };
  Sent expect_one_ranks_draws(int size, int64_t candidates, bool log_probs) const {
    SCOPED_TRACE(
        fmt::format("{} ranks, {} ids, {} candidates, {} rows", size, vocab(), candidates, rows_.size()));
    const Draws want = draw({}, logits_.view(), 0, log_probs);
    std::vector<Draws> made(static_cast<size_t>(size));
    std::vector<Sent> sent(static_cast<size_t>(size));
    on_ranks(size, [&](Communicator& comm, Transport&) {
      const auto rank = static_cast<size_t>(comm.rank());
      const Dist::Range mine = Dist{.tensor_size = size, .tensor_rank = comm.rank()}.vocab_part(vocab());
      Arena arena;
      Counted counted(comm);
      const Context context{.threads = 1 + comm.rank() % 2, .arena = &arena, .tensor_comm = &counted};
      made[rank] = draw(context, logits_.view().slice_columns(mine.begin, mine.end), candidates, log_probs);
      sent[rank] = {counted.messages, counted.bytes};
    });
    for (int rank = 0; rank < size; ++rank) {
      SCOPED_TRACE(fmt::format("rank {}", rank));
      const Draws& got = made[static_cast<size_t>(rank)];
      EXPECT_EQ(got.ids, want.ids);
      EXPECT_EQ(got.log_probs.size(), want.log_probs.size());
      for (size_t r = 0; r < want.log_probs.size(); ++r) {
        if (std::isnan(want.log_probs[r])) {
          EXPECT_TRUE(std::isnan(got.log_probs[r])) << r;
        } else {
          EXPECT_NEAR(got.log_probs[r], want.log_probs[r], 4e-6 + 1e-7 * std::abs(want.log_probs[r])) << r;
        }
      }
    }
    return sent[0];
  }

 private:
  Guarded logits_;
  std::vector<SampleRow> rows_;
};

// kFew: one of the three before it; kAny: of all kinds.
enum Kind { kGreedy, kTopK, kTopKTopP, kFew, kTopP, kAny };

std::vector<SampleRow> rows_of(Kind kind, int64_t count, Source& source) {
  std::vector<SampleRow> rows(static_cast<size_t>(count));
  for (SampleRow& row : rows) {
    row = {.temperature = 0.25f * static_cast<float>(1 + source.below(8)),
           .seed = 3,
           .position = static_cast<uint64_t>(source.below(1000))};
    const int64_t choice = kind == kAny || kind == kFew ? source.below(kind) : int64_t{kind};
    if (choice == kTopK || choice == kTopKTopP) row.top_k = static_cast<int32_t>(1 + source.below(40));
    if (choice == kTopKTopP || choice == kTopP) row.top_p = 0.01f * static_cast<float>(1 + source.below(100));
  }
  return rows;
}

// The vocabularies: fewer columns at the last rank, and none (9 of 4), fewer than top_k, and many.
class Slices : public testing::TestWithParam<int> {
 protected:
  void expect_one_ranks_draws(Kind kind) const {
    for (int64_t vocab : {5, 9, 50, 1001, 20011}) {
      Source source(static_cast<uint32_t>(vocab + kind));
      const int64_t count = vocab > 10000 ? 20 : 100;
      for (bool ties : {false, true}) {
        Guarded logits = Guarded::random(count, vocab, 3, source, 3);
        for (int64_t r = 0; r < count && ties; ++r)
          for (int64_t i = 0; i < vocab; ++i) logits.row(r)[i] = std::round(logits.row(r)[i]);
        const Batch batch(std::move(logits), rows_of(kind, count, source));
        for (bool log_probs : {false, true}) {
          for (int64_t candidates : {batch.wanted(), 2 * batch.wanted(), int64_t{0}})
            batch.expect_one_ranks_draws(GetParam(), candidates, log_probs);
        }
        if (kind == kGreedy) batch.expect_one_ranks_draws(GetParam(), kArgmax, false);
      }
    }
  }
};

TEST_P(Slices, Greedy) { expect_one_ranks_draws(kGreedy); }
TEST_P(Slices, TopK) { expect_one_ranks_draws(kTopK); }
TEST_P(Slices, TopKTopP) { expect_one_ranks_draws(kTopKTopP); }
TEST_P(Slices, GreedyAmongTopK) { expect_one_ranks_draws(kFew); }
TEST_P(Slices, TopP) { expect_one_ranks_draws(kTopP); }
TEST_P(Slices, AnyMixture) { expect_one_ranks_draws(kAny); }

// More than the greedy ones' single candidate, and few enough for each rank to have them.
TEST_P(Slices, TwoCandidates) {
  Source source(3);
  std::vector<SampleRow> rows;
  for (uint64_t position = 0; position < 40; ++position)
    rows.push_back({.temperature = 4, .top_k = 1 + static_cast<int32_t>(position % 2), .position = position});
  const Batch batch(Guarded::random(40, 50, 1, source), rows);
  EXPECT_EQ(batch.wanted(), 2);
  batch.expect_one_ranks_draws(GetParam(), 2, true);
}

// So many candidates that they are not simply sorted, in the whole row or among those exchanged.
TEST_P(Slices, AThousandCandidates) {
  Source source(7);
  std::vector<SampleRow> rows;
  for (int32_t top_k : {513, 1000, 1024})
    for (float top_p : {0.0f, 0.5f, 0.99f})
      for (uint64_t position = 0; position < 5; ++position)
        rows.push_back({.temperature = 3, .top_k = top_k, .top_p = top_p, .position = position});
  const auto count = static_cast<int64_t>(rows.size());
  const Batch batch(Guarded::random(count, 5003, 1, source), rows);
  EXPECT_EQ(batch.wanted(), 1024);
  batch.expect_one_ranks_draws(GetParam(), 1024, true);
}

TEST_P(Slices, OneRankMayHoldWhatIsNotFinite) {
  constexpr int64_t kVocab = 41;
  for (const SampleRow& row : {SampleRow{}, SampleRow{.top_k = 5, .top_p = 0.9f}, SampleRow{.top_p = 1}}) {
    Source source(11);
    Batch batch(Guarded::random(7, kVocab, 0, source), std::vector<SampleRow>(7, row));
    const auto fill = [&](int64_t r, int64_t begin, int64_t end, float value) {
      std::fill(batch.logits().row(r) + begin, batch.logits().row(r) + end, value);
    };
    fill(0, 40, 41, kNan);
    fill(1, 0, 40, -kInfinity);  // one id is left
    fill(2, 0, 41, -kInfinity);
    fill(3, 17, 18, kInfinity);
    fill(4, 17, 18, kInfinity);
    fill(4, 30, 31, kInfinity);
    fill(4, 3, 4, kNan);
    fill(5, 20, 41, -kInfinity);
    fill(6, 17, 41, kInfinity);
    for (int64_t candidates : {batch.wanted(), int64_t{0}})
      batch.expect_one_ranks_draws(GetParam(), candidates, true);
    if (is_greedy(row)) batch.expect_one_ranks_draws(GetParam(), kArgmax, false);
    const std::vector<int32_t> ids = batch.draw({}, batch.logits().view(), 0, false).ids;
    for (size_t r = 0; r < ids.size(); ++r)
      EXPECT_EQ(ids[r] == kNoId, r != 1 && r != 5) << r << ": " << ids[r];
    EXPECT_EQ(ids[1], 40);
  }
}

// One message a batch, and no more in it than the candidates.
TEST_P(Slices, CandidatesAreAllThatTravels) {
  Source source(5);
  const Guarded logits = Guarded::random(6, 1001, 0, source);
  const Batch greedy(logits, rows_of(kGreedy, 6, source)),
      few(logits, std::vector<SampleRow>(6, {.top_k = 5}));
  const auto expect_sent = [&](const Batch& batch, int64_t candidates, bool log_probs, int64_t bytes) {
    const Batch::Sent sent = batch.expect_one_ranks_draws(GetParam(), candidates, log_probs);
    EXPECT_EQ(sent.messages, GetParam() > 1 ? 1 : 0);
    EXPECT_EQ(sent.bytes, GetParam() > 1 ? bytes : 0);
  };
  expect_sent(greedy, greedy.wanted(), false, 6 * 8);
  expect_sent(greedy, greedy.wanted(), true, 6 * 16);
  expect_sent(greedy, kArgmax, false, 6 * 8);
  expect_sent(few, few.wanted(), false, 6 * 8 * 8);
}

TEST_P(Slices, NoRows) {
  for (int64_t candidates : {int64_t{1}, kArgmax})
    Batch(Guarded(0, 50, 0), {}).expect_one_ranks_draws(GetParam(), candidates, false);
}

TEST_P(Slices, WholeLogitsOnEveryRank) {
  for (int64_t vocab : {1, 9, 50, 1001}) {
    for (int64_t rows : {1, 3}) {
      Source source(13);
      const Guarded logits = Guarded::random(rows, vocab, 2, source);
      on_ranks(GetParam(), [&](Communicator& comm, Transport&) {
        const Dist::Range mine =
            Dist{.tensor_size = comm.size(), .tensor_rank = comm.rank()}.vocab_part(vocab);
        Arena arena;
        const Context context{.arena = &arena, .tensor_comm = &comm};
        Guarded whole(rows, vocab, 1);
        gather_logits(context, logits.view().slice_columns(mine.begin, mine.end), whole.view());
        EXPECT_EQ(whole.check_written(), "");
        for (int64_t r = 0; r < rows; ++r)
          EXPECT_TRUE(std::equal(whole.row(r), whole.row(r) + vocab, logits.row(r))) << r;
      });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Slices, testing::Values(1, 2, 3, 4),
                         [](const auto& info) { return std::to_string(info.param); });

TEST(CandidatesWanted, AreThePowerOfTwoThatHoldsEveryTopK) {
  const SampleRow greedy, one = {.top_k = 1, .top_p = 0.5f}, five = {.top_k = 5, .top_p = 0.5f};
  const SampleRow nucleus = {.top_p = 0.5f}, everything = {.top_p = 1}, most = {.top_k = 1024};
  const auto wanted = [](std::vector<SampleRow> rows) { return candidates_wanted(rows, 3000); };
  EXPECT_EQ(wanted({greedy, one}), 1);
  EXPECT_EQ(wanted({greedy, five}), 8);
  EXPECT_EQ(wanted({most, five}), 1024);
  EXPECT_EQ(wanted({{.top_k = 1025}}), 0);
  EXPECT_EQ(wanted({five, nucleus}), 0);
  EXPECT_EQ(wanted({everything}), 0);
  // All of the vocabulary is drawn from as a whole, whichever way it is asked for.
  EXPECT_EQ(candidates_wanted(std::vector<SampleRow>{five}, 5), 0);
  EXPECT_EQ(candidates_wanted(std::vector<SampleRow>{five}, 6), 8);
}

}  // namespace
}  // namespace bolide::test
