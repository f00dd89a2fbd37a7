#include <algorithm>
#include <limits>

#include "ops/candidates.h"
#include "ops/cases.h"
#include "ops/concat_columns.h"
#include "ops/guarded.h"
#include "ops/ref/parallel.h"
#include "ops/ref/ref.h"

namespace bolide::test {
namespace {

class SampleCase : public OpCase {
 public:
  SampleCase(int64_t rows, int64_t vocab, const SampleRow& row, bool log_probs, int64_t parts)
      : OpCase(fmt::format("sample/{}x{}/k{}/p{}{}{}", rows, vocab, row.top_k, row.top_p,
                           log_probs ? "/log_probs" : "", parts > 1 ? fmt::format("/{}parts", parts) : "")),
        parts_(parts),
        host_rows_(static_cast<size_t>(rows), row),
        with_log_probs_(log_probs) {
    Source source(41);
    logits_ = Guarded::random(rows, vocab, 0, source, 3);
    for (size_t r = 0; r < host_rows_.size(); ++r) host_rows_[r].request = r;
    rows_ = Mirrored(host_rows_);
    ids_ = Mirrored(std::vector<int32_t>(host_rows_.size()));
    log_probs_ = Mirrored(std::vector<float>(host_rows_.size()));
  }
  void prepare(const Context& context) override {
    logits_.view(context);
    rows_.on(context);
    ids_.bring(context);
    log_probs_.bring(context);
  }
  void compute(const Context& context) override {
    SampleArgs args = {.logits = logits_.view(context),
                       .rows = rows_.span<const SampleRow>(context),
                       .ids = ids_.span<int32_t>(context),
                       .log_probs = with_log_probs_ ? log_probs_.span<float>(context) : std::span<float>(),
                       .all_greedy = is_greedy(host_rows_[0])};
    if (parts_ == 1) return sample(context, args);
    Arena own;
    Arena& arena = context.arena ? *context.arena : own;
    const Arena::Scope scope(arena);
    exchange(context, arena, args);
    sample(context, args);
  }
  void finish(const Context& context) override {
    ids_.fetch(context);
    log_probs_.fetch(context);
  }
  void poison() override { std::memset(ids_.host().view().data, 0xEE, ids_.host().bytes()); }
  std::vector<std::byte> output() const override {
    const auto* begin = static_cast<const std::byte*>(ids_.host().view().data);
    return {begin, begin + ids_.host().bytes()};
  }
  std::string check() const override {
    const std::span<const int32_t> ids = ids_.span<const int32_t>({});
    const std::span<const float> log_probs = log_probs_.span<const float>({});
    const std::vector<ref::Drawn>& drawn = drawn_.get([&] {
      std::vector<ref::Drawn> made(host_rows_.size());
      const int64_t vocab = logits_.view().shape[1];
      ref::for_each(static_cast<int64_t>(made.size()), vocab * 100, [&](int64_t row) {
        const auto r = static_cast<size_t>(row);
        made[r] = ref::sample(logits_.row(row), vocab, host_rows_[r]);
      });
      return made;
    });
    for (size_t r = 0; r < ids.size(); ++r) {
      const ref::Drawn& want = drawn[r];
      const bool near = want.margin < 1e-5;
      if (ids[r] != want.id && !(near && ids[r] == want.other))
        return fmt::format("row {} drew {} instead of {}", r, ids[r], want.id);
      if (with_log_probs_ && !near &&
          !(std::abs(log_probs[r] - want.log_prob) <= 1e-5 * (1 + std::abs(want.log_prob))))
        return fmt::format("row {} has log-probability {} instead of {}", r, log_probs[r], want.log_prob);
    }
    return "";
  }
  double bytes() const override { return 4.0 * static_cast<double>(logits_.view().shape.count()); }

 private:
  // What ranks do that hold a part each: the candidates of all parts take the place of the rows.
  void exchange(const Context& context, Arena& arena, SampleArgs& args) const {
    const int64_t rows = args.logits.shape[0], vocab = args.logits.shape[1], k = candidates_of(host_rows_[0]);
    const int64_t each = (vocab + parts_ - 1) / parts_;
    const View values = arena.take({parts_, rows, k}, DType::kF32),
               ids = arena.take({parts_, rows, k}, DType::kI32);
    args.totals = arena.take({parts_, rows, 2}, DType::kF32);
    const auto part_of = [&](const View& all, int64_t part) {
      return all.slice_rows(part, part + 1).reshape({rows, all.shape[2]});
    };
    const View whole = args.logits;
    for (int64_t part = 0; part < parts_; ++part) {
      const int64_t begin = std::min(vocab, part * each), end = std::min(vocab, begin + each);
      candidates(context, {.logits = whole.slice_columns(begin, end),
                           .rows = args.rows,
                           .begin = begin,
                           .values = part_of(values, part),
                           .ids = part_of(ids, part),
                           .totals = part_of(args.totals, part)});
    }
    args.logits = arena.take({rows, parts_ * k}, DType::kF32);
    args.ids_of = arena.take({rows, parts_ * k}, DType::kI32);
    for (const auto& [from, to] : {std::pair(values, args.logits), std::pair(ids, args.ids_of)})
      concat_columns(context, {.x = part_of(from, 0), .parts = parts_, .part_stride = rows * k, .y = to});
  }

  int64_t parts_;
  std::vector<SampleRow> host_rows_;
  bool with_log_probs_;
  Guarded logits_;
  Mirrored rows_, ids_, log_probs_;
  Kept<std::vector<ref::Drawn>> drawn_;
};

// Rows of every kind, every other with many equal logits, some with what is not finite.
class CandidatesCase : public OpCase {
 public:
  CandidatesCase(int64_t rows, int64_t columns, int64_t k, int64_t gap)
      : OpCase(fmt::format("candidates/{}x{}/k{}/gap{}", rows, columns, k, gap)),
        columns_(columns),
        logits_(rows, columns, gap),
        values_(rows, k, gap),
        ids_(rows, k, gap, DType::kI32),
        totals_(rows, 2, gap) {
    Source source(23);
    constexpr float kSpecial[] = {std::numeric_limits<float>::quiet_NaN(),
                                  std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity()};
    for (int64_t r = 0; r < rows; ++r) {
      float* row = logits_.row(r);
      for (int64_t i = 0; i < columns; ++i) {
        row[i] = 3 * source.normal();
        if (r % 2 == 1) row[i] = std::round(row[i]);
      }
      const float special = kSpecial[r / 8 % 3];
      if (r % 8 == 5 && columns > 0) row[source.below(columns)] = special;
      if (r % 8 == 6) std::fill(row, row + columns, special);
      if (r % 8 == 7) std::fill(row + columns / 3, row + columns, kSpecial[2]);
      host_rows_.push_back({.temperature = 0.5f + 0.5f * static_cast<float>(r % 4),
                            .top_k = static_cast<int32_t>(r % 3 == 2   ? 0
                                                          : r % 3 == 1 ? k
                                                                       : 1 + source.below(k))});
    }
    rows_ = Mirrored(host_rows_);
  }
  void prepare(const Context& context) override {
    logits_.view(context);
    rows_.on(context);
    for (Guarded* out : {&values_, &ids_, &totals_}) out->bring(context);
  }
  void compute(const Context& context) override {
    candidates(context, {.logits = logits_.view(context),
                         .rows = rows_.span<const SampleRow>(context),
                         .begin = kBegin,
                         .values = values_.view(context),
                         .ids = ids_.view(context),
                         .totals = totals_.view(context)});
  }
  void finish(const Context& context) override {
    for (Guarded* out : {&values_, &ids_, &totals_}) out->fetch(context);
  }
  void poison() override {
    for (Guarded* out : {&values_, &ids_, &totals_}) out->poison();
  }
  std::vector<std::byte> output() const override {
    std::vector<std::byte> all;
    for (const Guarded* out : {&values_, &ids_, &totals_}) {
      const std::vector<std::byte> bytes = out->bytes();
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  }
  std::string check() const override {
    for (const Guarded* out : {&values_, &ids_, &totals_})
      if (std::string wrong = out->check_written(); !wrong.empty()) return wrong;
    for (size_t r = 0; r < host_rows_.size(); ++r)
      if (std::string wrong = check_row(static_cast<int64_t>(r)); !wrong.empty())
        return fmt::format("row {}: {}", r, wrong);
    return "";
  }
  double bytes() const override { return 4.0 * static_cast<double>(logits_.view().shape.count()); }

 private:
  static constexpr int64_t kBegin = 1000;

  std::string check_row(int64_t r) const {
    const float* logits = logits_.row(r);
    const ref::Candidates want = ref::candidates(logits, columns_, host_rows_[static_cast<size_t>(r)]);
    const auto same = [](float a, double b) { return std::isnan(a) ? std::isnan(b) : a == b; };
    for (int64_t i = 0; i < values_.view().shape[1]; ++i) {
      const bool left = i >= static_cast<int64_t>(want.columns.size());
      const int64_t column = left ? 0 : want.columns[static_cast<size_t>(i)];
      const int64_t id = left || !std::isfinite(want.max) ? kNoId : kBegin + column;
      const double value = left                   ? -std::numeric_limits<double>::infinity()
                           : std::isnan(want.max) ? want.max
                                                  : logits[column];
      const int32_t got = ids_.view().as<int32_t>()[r * ids_.view().row_stride + i];
      if (got != id || !same(values_.row(r)[i], value))
        return fmt::format("candidate {} is {} of {} instead of {} of {}", i, values_.row(r)[i], got, value,
                           id);
    }
    const float* totals = totals_.row(r);
    if (!same(totals[0], want.max) || !(std::abs(totals[1] - want.sum) <= 4e-6 * want.sum))
      return fmt::format("totals are {}, {} instead of {}, {}", totals[0], totals[1], want.max, want.sum);
    return "";
  }

  int64_t columns_;
  std::vector<SampleRow> host_rows_;
  Mirrored rows_;
  Guarded logits_, values_, ids_, totals_;
};

class ConcatColumnsCase : public OpCase {
 public:
  ConcatColumnsCase(int64_t rows, int64_t columns, int64_t parts, int64_t total, int64_t gap)
      : OpCase(fmt::format("concat_columns/{}x{}x{}/{}/gap{}", parts, rows, columns, total, gap)),
        parts_(parts),
        y_(rows, total, gap) {
    Source source(37);
    x_ = Guarded::random(parts * rows, columns, gap, source);
  }
  void prepare(const Context& context) override {
    x_.view(context);
    y_.bring(context);
  }
  void compute(const Context& context) override {
    const View x = x_.view(context), y = y_.view(context);
    concat_columns(context, {.x = x.slice_rows(0, y.shape[0]),
                             .parts = parts_,
                             .part_stride = y.shape[0] * x.row_stride,
                             .y = y});
  }
  void finish(const Context& context) override { y_.fetch(context); }
  void poison() override { y_.poison(); }
  std::vector<std::byte> output() const override { return y_.bytes(); }
  std::string check() const override {
    if (std::string wrong = y_.check_written(); !wrong.empty()) return wrong;
    const int64_t rows = y_.view().shape[0], columns = x_.view().shape[1];
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < y_.view().shape[1]; ++c)
        if (y_.row(r)[c] != x_.row(c / columns * rows + r)[c % columns])
          return fmt::format("[{}, {}] is {}", r, c, y_.row(r)[c]);
    return "";
  }
  double bytes() const override { return 8.0 * static_cast<double>(y_.view().shape.count()); }

 private:
  int64_t parts_;
  Guarded x_, y_;
};

}  // namespace

Case sample_case(int64_t rows, int64_t vocab, const SampleRow& row, bool log_probs, int64_t parts) {
  return std::make_unique<SampleCase>(rows, vocab, row, log_probs, parts);
}
Case candidates_case(int64_t rows, int64_t columns, int64_t k, int64_t gap) {
  return std::make_unique<CandidatesCase>(rows, columns, k, gap);
}
Case concat_columns_case(int64_t rows, int64_t columns, int64_t parts, int64_t total, int64_t gap) {
  return std::make_unique<ConcatColumnsCase>(rows, columns, parts, total, gap);
}

}  // namespace bolide::test
