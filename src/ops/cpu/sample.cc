#include "ops/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/sample_kernels.h"

namespace bolide::cpu {
namespace {

// One row of logits while its token is drawn. Nothing here sorts the vocabulary: a bound that is cheap to
// find leaves few candidates, and where it leaves many, only those around the cut are ordered.
class Draw {
 public:
  // `weights` [vocab] and `ids` [vocab] are scratch.
  Draw(const float* logits, int64_t vocab, const SampleRow& row, float max, float* weights, int32_t* ids)
      : logits_(logits), vocab_(vocab), row_(row), max_(max), weights_(weights), ids_(ids) {}

  double log_prob(int32_t id) {
    return (static_cast<double>(logits_[id]) - max_) / row_.temperature - std::log(total());
  }

  int32_t pick() {
    const bool nucleus = row_.top_p > 0 && row_.top_p<1, some = row_.top_k> 0 && row_.top_k < vocab_;
    if (!nucleus && !some) {
      const double all = total();
      return walk(
          vocab_, [](int64_t i) { return static_cast<int32_t>(i); },
          [this](int64_t i) { return static_cast<double>(weights_[i]); }, all);
    }
    if (some) {
      keep_at_least(logits_, kth_bound());
      keep_largest(static_cast<double>(row_.top_k), 1, [](int32_t) { return 1.0; });
      if (nucleus) {
        double mass = 0;
        for (int32_t id : kept_) mass += weight(id);
        keep_largest(row_.top_p * mass, 1 / row_.temperature, [this](int32_t id) { return weight(id); });
      }
    } else {
      // Ids lighter than (1 - p) / vocab of the total weigh less than 1 - p together: the nucleus has none.
      const double all = total();
      keep_at_least(weights_, static_cast<float>(all * (1 - static_cast<double>(row_.top_p)) /
                                                 static_cast<double>(vocab_) * 0.999));
      keep_largest(row_.top_p * all, 1 / row_.temperature, [this](int32_t id) { return weight(id); });
    }
    std::sort(kept_.begin(), kept_.end());
    std::vector<double> masses(kept_.size());
    std::transform(kept_.begin(), kept_.end(), masses.begin(), [this](int32_t id) { return weight(id); });
    return walk(
        static_cast<int64_t>(kept_.size()), [this](int64_t i) { return kept_[static_cast<size_t>(i)]; },
        [&](int64_t i) { return masses[static_cast<size_t>(i)]; },
        std::accumulate(masses.begin(), masses.end(), 0.0));
  }

 private:
  double weight(int32_t id) const {
    if (total_ != 0) return static_cast<double>(weights_[id]);
    return std::exp((static_cast<double>(logits_[id]) - max_) / row_.temperature);
  }
  // The sum of all weights; fills weights_.
  double total() {
    if (total_ == 0) total_ = exp_row(logits_, vocab_, max_, 1 / row_.temperature, weights_);
    return total_;
  }
  // By falling logit, then rising id.
  bool before(int32_t a, int32_t b) const {
    return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
  }

  // A value that at least top_k logits reach: k blocks have a maximum of at least their k-th largest maximum.
  float kth_bound() const {
    constexpr int64_t kBlock = 256;
    std::vector<float> largest(static_cast<size_t>(vocab_ / kBlock));
    const int64_t k = row_.top_k;
    if (static_cast<int64_t>(largest.size()) < k) return -std::numeric_limits<float>::infinity();
    block_max(logits_, vocab_ / kBlock, kBlock, largest.data());
    std::nth_element(largest.begin(), largest.begin() + (k - 1), largest.end(), std::greater<>());
    return largest[static_cast<size_t>(k - 1)];
  }

  void keep_at_least(const float* values, float bound) {
    kept_.assign(ids_, ids_ + find_at_least(values, vocab_, bound, ids_));
  }

  // Of kept_, the fewest, by falling logit, whose measures reach `wanted`.
  template <class Measure>
  void keep_largest(double wanted, float scale, const Measure& measure) {
    constexpr size_t kFew = 1024;
    double above = 0;
    std::vector<int32_t> sure;
    if (kept_.size() > kFew) above = split(wanted, scale, measure, sure);
    std::sort(kept_.begin(), kept_.end(), [this](int32_t a, int32_t b) { return before(a, b); });
    size_t count = 0;
    while (count < kept_.size() && (above < wanted || (count == 0 && sure.empty())))
      above += measure(kept_[count++]);
    kept_.resize(count);
    kept_.insert(kept_.end(), sure.begin(), sure.end());
  }

  // Puts kept_ into buckets 1/64 wide in (max - logit) * scale, the last of which takes all that lies 32 or
  // more under the largest. Those before the bucket in which `wanted` is reached are `sure`, that bucket's
  // stay in kept_, the others go. Returns the measure of the sure ones.
  template <class Measure>
  double split(double wanted, float scale, const Measure& measure, std::vector<int32_t>& sure) {
    constexpr int kBuckets = 2048;
    const auto bucket = [&](int32_t id) {
      const float distance = (max_ - logits_[id]) * scale * 64;
      return distance < kBuckets - 1 ? static_cast<int>(distance) : kBuckets - 1;
    };
    std::array<double, kBuckets> sums{};
    for (int32_t id : kept_) sums[static_cast<size_t>(bucket(id))] += measure(id);
    int last = 0;
    double above = 0;
    while (last < kBuckets - 1 && above + sums[static_cast<size_t>(last)] < wanted)
      above += sums[static_cast<size_t>(last++)];
    std::vector<int32_t> edge;
    for (int32_t id : kept_) {
      const int b = bucket(id);
      if (b <= last) (b < last ? sure : edge).push_back(id);
    }
    kept_ = std::move(edge);
    return above;
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
  int64_t vocab_;
  const SampleRow& row_;
  float max_;
  float* weights_;
  int32_t* ids_;
  double total_ = 0;
  std::vector<int32_t> kept_;
};

}  // namespace

void sample(const Context& context, const SampleArgs& args) {
  isa();
  const int64_t vocab = args.logits.shape[1], rows = static_cast<int64_t>(args.rows.size());
  const auto drawn = [&](int64_t r) { return args.rows[r].top_k > 0 || args.rows[r].top_p > 0; };
  bool work = !args.log_probs.empty();
  for (int64_t r = 0; r < rows; ++r) work |= drawn(r);
  Arena own;
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  const Shape shape = {work ? context.threads : 0, vocab};
  const View weights = arena.take(shape, DType::kF32), ids = arena.take(shape, DType::kI32);
  parallel_ranges(context, rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* logits = args.logits.as<float>() + r * args.logits.row_stride;
      const float max = row_max(logits, vocab);
      args.ids[r] = std::isnan(max) ? kNanRow : static_cast<int32_t>(find_value(logits, vocab, max));
      // Nothing to draw from when all are minus infinity; plus infinity wins by itself.
      const bool finite = std::isfinite(max);
      if (!args.log_probs.empty()) args.log_probs[r] = finite || std::isnan(max) ? max : 0.0f;
      if (!finite || (!drawn(r) && args.log_probs.empty())) continue;
      const int64_t mine = omp_get_thread_num() * vocab;
      Draw draw(logits, vocab, args.rows[r], max, weights.as<float>() + mine, ids.as<int32_t>() + mine);
      if (drawn(r)) args.ids[r] = draw.pick();
      if (!args.log_probs.empty()) args.log_probs[r] = static_cast<float>(draw.log_prob(args.ids[r]));
    }
  });
}

}  // namespace bolide::cpu
