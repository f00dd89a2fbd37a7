#include "ops/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/sample_kernels.h"

namespace bolide::cpu {
namespace {

// One row of logits while its token is drawn. Nothing here sorts the vocabulary: ids are put into buckets by
// how far their logit lies under the largest, and only the bucket that the cut falls into is ordered.
class Draw {
 public:
  Draw(const float* logits, int64_t vocab, const SampleRow& row, float max, float* weights)
      : logits_(logits), vocab_(vocab), row_(row), max_(max), weights_(weights) {}

  // log of the sum of exp((logit - max) / temperature).
  double log_total() const { return std::log(total_); }
  void weigh() { total_ = exp_row(logits_, vocab_, max_, 1 / row_.temperature, weights_); }
  double log_prob(int32_t id) const {
    return (static_cast<double>(logits_[id]) - max_) / row_.temperature - log_total();
  }

  int32_t pick() {
    std::vector<int32_t> kept;
    if (row_.top_k > 0 && row_.top_k < vocab_) {
      kept = largest(static_cast<double>(row_.top_k), 1, [](int32_t) { return 1.0; });
      if (nucleus()) cut(kept, row_.top_p * mass(kept), [this](int32_t id) { return weight(id); });
    } else if (nucleus()) {
      kept = largest(row_.top_p * total_, 1 / row_.temperature, [this](int32_t id) { return weight(id); });
    } else {
      return walk(
          vocab_, [](int64_t i) { return static_cast<int32_t>(i); }, total_);
    }
    std::sort(kept.begin(), kept.end());
    return walk(
        static_cast<int64_t>(kept.size()), [&](int64_t i) { return kept[static_cast<size_t>(i)]; },
        mass(kept));
  }

 private:
  bool nucleus() const { return row_.top_p > 0 && row_.top_p < 1; }
  double weight(int32_t id) const { return static_cast<double>(weights_[id]); }
  double mass(const std::vector<int32_t>& ids) const {
    double sum = 0;
    for (int32_t id : ids) sum += weight(id);
    return sum;
  }
  // By falling logit, then rising id.
  bool before(int32_t a, int32_t b) const {
    return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
  }

  // Orders `ids` and keeps the fewest whose measures reach `wanted`.
  template <class Measure>
  void cut(std::vector<int32_t>& ids, double wanted, const Measure& measure) const {
    std::sort(ids.begin(), ids.end(), [this](int32_t a, int32_t b) { return before(a, b); });
    double sum = 0;
    size_t count = 0;
    while (count < ids.size() && (sum < wanted || count == 0)) sum += measure(ids[count++]);
    ids.resize(count);
  }

  // The fewest ids, by falling logit, whose measures reach `wanted`. Buckets are 1/64 wide in
  // (max - logit) * scale; the last one takes all that lies 32 or more under the largest.
  template <class Measure>
  std::vector<int32_t> largest(double wanted, float scale, const Measure& measure) const {
    constexpr int kBuckets = 2048;
    const auto bucket = [&](int64_t id) {
      const float distance = (max_ - logits_[id]) * scale * 64;
      return distance < kBuckets - 1 ? static_cast<int>(distance) : kBuckets - 1;
    };
    std::array<double, kBuckets> sums{};
    for (int64_t id = 0; id < vocab_; ++id)
      sums[static_cast<size_t>(bucket(id))] += measure(static_cast<int32_t>(id));
    int last = 0;
    double above = 0;
    while (last < kBuckets - 1 && above + sums[static_cast<size_t>(last)] < wanted)
      above += sums[static_cast<size_t>(last++)];
    std::vector<int32_t> kept, edge;
    for (int64_t id = 0; id < vocab_; ++id) {
      const int b = bucket(id);
      if (b <= last) (b < last ? kept : edge).push_back(static_cast<int32_t>(id));
    }
    cut(edge, wanted - above, measure);
    kept.insert(kept.end(), edge.begin(), edge.end());
    return kept;
  }

  // Inverse transform over `count` ids in ascending order.
  template <class IdOf>
  int32_t walk(int64_t count, const IdOf& id_of, double total) const {
    const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
    const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
    const std::array<uint32_t, 4> counter = {low(row_.position), high(row_.position), low(row_.request),
                                             high(row_.request)};
    double left = static_cast<double>(to_unit_float(philox4x32(row_.seed, counter)[0])) * total;
    int32_t chosen = id_of(0);
    for (int64_t i = 0; i < count; ++i) {
      const int32_t id = id_of(i);
      const double w = weight(id);
      if (w == 0) continue;
      chosen = id;  // rounding may leave a trace of `left` after the last
      left -= w;
      if (left < 0) break;
    }
    return chosen;
  }

  const float* logits_;
  int64_t vocab_;
  const SampleRow& row_;
  float max_;
  float* weights_;  // [vocab]
  double total_ = 0;
};

}  // namespace

void sample(const Context& context, const SampleArgs& args) {
  isa();
  const int64_t vocab = args.logits.shape[1], rows = static_cast<int64_t>(args.rows.size());
  const auto drawn = [&](int64_t r) { return args.rows[r].top_k > 0 || args.rows[r].top_p > 0; };
  bool weigh = !args.log_probs.empty();
  for (int64_t r = 0; r < rows; ++r) weigh |= drawn(r);
  Arena own;
  Arena& arena = context.arena ? *context.arena : own;
  const Arena::Scope scope(arena);
  const View scratch = arena.take({weigh ? context.threads : 0, vocab}, DType::kF32);
  parallel_ranges(context, rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* logits = args.logits.as<float>() + r * args.logits.row_stride;
      const float max = row_max(logits, vocab);
      args.ids[r] = std::isnan(max) ? kNanRow : static_cast<int32_t>(find_value(logits, vocab, max));
      // Nothing to draw from when all are minus infinity; plus infinity wins by itself.
      const bool finite = std::isfinite(max);
      if (!args.log_probs.empty()) args.log_probs[r] = finite || std::isnan(max) ? max : 0.0f;
      if (!finite || (!drawn(r) && args.log_probs.empty())) continue;
      Draw draw(logits, vocab, args.rows[r], max, scratch.as<float>() + omp_get_thread_num() * vocab);
      draw.weigh();
      if (drawn(r)) args.ids[r] = draw.pick();
      if (!args.log_probs.empty()) args.log_probs[r] = static_cast<float>(draw.log_prob(args.ids[r]));
    }
  });
}

}  // namespace bolide::cpu
