#include "ops/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/largest.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/sample_kernels.h"

namespace bolide::cpu {
namespace {

// One row of logits while its token is drawn.
class Draw {
 public:
  // `weights` [count] and `ids` [count] are scratch. `some`: only the top_k largest are drawn from.
  Draw(const float* logits, int64_t count, const SampleRow& row, bool some, float max, float* weights,
       int32_t* ids)
      : logits_(logits),
        count_(count),
        row_(row),
        some_(some),
        max_(max),
        weights_(weights),
        largest_(logits, count, max, ids) {}

  // log softmax of a column, where the whole row's weights add up to `total`.
  double log_prob(int32_t column, double total) const {
    return (static_cast<double>(logits_[column]) - max_) / row_.temperature - std::log(total);
  }
  // The sum of all weights.
  double total() {
    if (total_ == 0) total_ = exp_row(logits_, count_, max_, scale(), weights_);
    return total_;
  }

  int32_t pick() {
    const bool nucleus = row_.top_p > 0 && row_.top_p < 1;
    if (!nucleus && !some_) {
      const double all = total();
      return walk(
          count_, [](int64_t i) { return static_cast<int32_t>(i); },
          [this](int64_t i) { return static_cast<double>(weights_[i]); }, all);
    }
    const auto weigh = [this](int32_t id) { return weight(id); };
    if (some_) {
      largest_.keep_top(row_.top_k);
      if (nucleus) {
        largest_.sort();  // a sum in one order, however the k were found, and whatever else the row has
        double mass = 0;
        for (int32_t id : largest_.kept()) mass += weight(id);
        largest_.keep_fewest(row_.top_p * mass, scale(), weigh);
      }
    } else {
      // Ids lighter than (1 - p) / count of the total weigh less than 1 - p together: the nucleus has none.
      const double all = total();
      largest_.keep_at_least(weights_, static_cast<float>(all * (1 - static_cast<double>(row_.top_p)) /
                                                          static_cast<double>(count_) * 0.999));
      largest_.keep_fewest(row_.top_p * all, scale(), weigh);
    }
    largest_.sort();
    const std::vector<int32_t>& kept = largest_.kept();
    std::vector<double> masses(kept.size());
    std::transform(kept.begin(), kept.end(), masses.begin(), weigh);
    return walk(
        static_cast<int64_t>(kept.size()), [&](int64_t i) { return kept[static_cast<size_t>(i)]; },
        [&](int64_t i) { return masses[static_cast<size_t>(i)]; },
        std::accumulate(masses.begin(), masses.end(), 0.0));
  }

 private:
  float scale() const { return std::min(1 / row_.temperature, 3e38f); }
  double weight(int32_t id) const {
    if (!some_) return static_cast<double>(weights_[id]);
    return std::exp((static_cast<double>(logits_[id]) - max_) / row_.temperature);
  }

  // Inverse transform over `count` ids in ascending order.
  template <class IdOf, class WeightOf>
  int32_t walk(int64_t count, const IdOf& id_of, const WeightOf& weight_of, double total) const {
    const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
    const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
    const std::array<uint32_t, 4> counter = {low(row_.position), high(row_.position), low(row_.request),
                                             high(row_.request)};
    double left = static_cast<double>(to_unit_float(philox4x32(row_.seed, counter)[0])) * total;
    int64_t chosen = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double w = weight_of(i);
      if (w == 0) continue;
      chosen = i;  // rounding may leave a trace of `left` after the last
      left -= w;
      if (left < 0) break;
    }
    return id_of(chosen);
  }

  const float* logits_;
  int64_t count_;
  const SampleRow& row_;
  bool some_;
  float max_;
  float* weights_;
  double total_ = 0;
  Largest largest_;
};

// The sum of exp((logit - max) / temperature) over a row that `totals` [parts, rows, 2] tells of.
double merged_total(const View& totals, int64_t r, float max, float temperature) {
  double sum = 0;
  for (int64_t part = 0; part < totals.shape[0]; ++part) {
    const float* of_part = totals.as<float>() + part * totals.row_stride + r * 2;
    if (of_part[1] > 0) sum += of_part[1] * std::exp((static_cast<double>(of_part[0]) - max) / temperature);
  }
  return sum;
}

}  // namespace

void sample(const Context& context, const SampleArgs& args) {
  isa();
  const int64_t count = args.logits.shape[1], rows = static_cast<int64_t>(args.rows.size());
  const bool whole = args.ids_of.empty();
  const auto drawn = [&](int64_t r) { return args.rows[r].top_k > 0 || args.rows[r].top_p > 0; };
  bool work = !args.log_probs.empty() || context.counting();
  for (int64_t r = 0; r < rows && !work; ++r) work = drawn(r);
  Arena own;
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  const Shape shape = {work ? context.threads : 0, count};
  const View weights = arena.take(shape, DType::kF32), ids = arena.take(shape, DType::kI32);
  if (context.counting()) return;
  // The column drawn, and its log-probability.
  const auto draw = [&](int64_t r, const float* logits, float max, int32_t largest) {
    const SampleRow& row = args.rows[r];
    const int64_t mine = omp_get_thread_num() * count;
    Draw draw(logits, count, row, row.top_k > 0 && (!whole || row.top_k < count), max,
              weights.as<float>() + mine, ids.as<int32_t>() + mine);
    const int32_t column = drawn(r) ? draw.pick() : largest;
    if (!args.log_probs.empty()) {
      const double total = whole ? draw.total() : merged_total(args.totals, r, max, row.temperature);
      args.log_probs[r] = static_cast<float>(draw.log_prob(column, total));
    }
    return column;
  };
  parallel_ranges(context, rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* logits = args.logits.as<float>() + r * args.logits.row_stride;
      const float max = row_max(logits, count);
      args.ids[r] = kNoId;
      if (!args.log_probs.empty()) args.log_probs[r] = std::numeric_limits<float>::quiet_NaN();
      if (!std::isfinite(max)) continue;
      auto column = static_cast<int32_t>(find_value(logits, count, max));
      if (drawn(r) || !args.log_probs.empty()) column = draw(r, logits, max, column);
      args.ids[r] = whole ? column : args.ids_of.as<int32_t>()[r * args.ids_of.row_stride + column];
    }
  });
}

}  // namespace bolide::cpu
