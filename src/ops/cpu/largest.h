#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "ops/cpu/sample_kernels.h"

namespace bolide::cpu {

// The ids of a row that hold its largest logits. Nothing here sorts the vocabulary: a bound that is cheap to
// find leaves few candidates, and where it leaves many, only those around the cut are ordered.
class Largest {
 public:
  // `max` is the largest of logits [count]; `ids` [count] is scratch.
  Largest(const float* logits, int64_t count, float max, int32_t* ids)
      : logits_(logits), count_(count), max_(max), ids_(ids) {}

  // Before sort(), in an order of no meaning.
  const std::vector<int32_t>& kept() const { return kept_; }
  void sort() { std::sort(kept_.begin(), kept_.end()); }

  // The k largest; of equals, the lowest ids.
  void keep_top(int64_t k) {
    keep_at_least(logits_, kth_bound(k));
    keep_fewest(static_cast<double>(k), 1, [](int32_t) { return 1.0; });
  }
  // Those whose value is `bound` or more.
  void keep_at_least(const float* values, float bound) {
    kept_.assign(ids_, ids_ + find_at_least(values, count_, bound, ids_));
  }
  // Of those kept, the fewest, by falling logit, whose measures reach `wanted`. `scale` is by how much a
  // difference of logits of 1 matters.
  template <class Measure>
  void keep_fewest(double wanted, float scale, const Measure& measure) {
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

 private:
  // By falling logit, then rising id.
  bool before(int32_t a, int32_t b) const {
    return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
  }

  // A value that at least k logits reach: k blocks have a maximum of at least their k-th largest maximum.
  float kth_bound(int64_t k) const {
    constexpr int64_t kBlock = 256;
    std::vector<float> largest(static_cast<size_t>(count_ / kBlock));
    if (static_cast<int64_t>(largest.size()) < k) return -std::numeric_limits<float>::infinity();
    block_max(logits_, count_ / kBlock, kBlock, largest.data());
    std::nth_element(largest.begin(), largest.begin() + (k - 1), largest.end(), std::greater<>());
    return largest[static_cast<size_t>(k - 1)];
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

  const float* logits_;
  int64_t count_;
  float max_;
  int32_t* ids_;
  std::vector<int32_t> kept_;
};

}  // namespace bolide::cpu
