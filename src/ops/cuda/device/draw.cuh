#pragma once

// Draws from rows of logits. One cluster of blocks a row: it reads the logits once, into its shared memory,
// and passes over them there as often as it needs. Weights exp((x - max) / temperature) are added up as
// integers, in units of 2^-42: such sums are the same in any order, so that neither atomics nor the cluster's
// size show in what is drawn.
#include <cstdint>

#include "ops/cuda/device/argmax.cuh"
#include "ops/cuda/device/block_team.cuh"
#include "ops/cuda/sample_kernels.h"

namespace bolide::cuda {

constexpr int kWarps = kDrawThreads / 32;
constexpr int kBins = 2 * kDrawThreads;  // of a histogram
constexpr float kUnits = 0x1p42f;        // of mass in a weight of 1; 2^20 logits fit in 64 bits
constexpr unsigned kAll = 0xffffffffu;

// What every launch needs to add up over a row.
struct Exchange {
  uint64_t warps[kWarps];
  uint64_t blocks[2][kDrawCluster];  // in turn, so that one sync() a sum is enough
};
struct Found {
  int64_t index;
  uint64_t before;
};
struct alignas(16) Shared {
  Exchange exchange;
  uint32_t low[kBins], high[kBins];  // of this block's sums: shared memory adds no 64-bit integers by itself
  uint64_t bins[kBins];              // of the row's
  uint64_t masses[kDrawCluster * kWarps], ties[kDrawCluster * kWarps];
  Found found;
};

// Those above `key`, and of those at it the `ties` lowest ids.
struct Cut {
  uint32_t key = kNoKey;
  uint64_t ties = 0;
};

struct Sum {
  __device__ uint64_t operator()(uint64_t a, uint64_t b) const { return a + b; }
};
struct Larger {
  __device__ uint64_t operator()(uint64_t a, uint64_t b) const { return a > b ? a : b; }
};
// Of each half.
struct LargerHalves {
  __device__ uint64_t operator()(uint64_t a, uint64_t b) const {
    return uint64_t{max(high(a), high(b))} << 32 | max(static_cast<uint32_t>(a), static_cast<uint32_t>(b));
  }
  static __device__ uint32_t high(uint64_t x) { return static_cast<uint32_t>(x >> 32); }
};

// One row while its token is drawn. Every thread of the cluster calls every function.
class Draw {
 public:
  __device__ Draw(const LogitRows& rows, Exchange& exchange, float* stage)
      : rows_(rows), exchange_(exchange), stage_(stage) {
    const int64_t row = blockIdx.x / static_cast<unsigned>(team_.size());
    row_ = rows.logits + row * rows.stride;
    const int of_block = kWarps * rows.chunk;
    first_ = team_.rank() * of_block;
    values_ = row_ + first_;
    vectors_ = rows.vectors;
    const int count = max(0, min(of_block, rows.columns - first_));
    begin_ = min(warp() * rows.chunk, count);
    end_ = min(begin_ + rows.chunk, count);
  }

  __device__ bool leads() const { return team_.rank() == 0 && threadIdx.x == 0; }

  // Stages the row.
  __device__ Top find_max() {
    ArgmaxSoFar best;
    const auto look = [&](float x, int i) { best.look(x, i); };
    // Four loads under way in each thread: this pass reads from memory.
    int i = begin_ + lane() * 4;
    if (vectors_) {
      for (; i + 3 * 128 + 4 <= end_; i += 4 * 128) {
        float4 v[4];
#pragma unroll
        for (int u = 0; u < 4; ++u) v[u] = *reinterpret_cast<const float4*>(values_ + i + u * 128);
#pragma unroll
        for (int u = 0; u < 4; ++u) {
          if (rows_.staged) *reinterpret_cast<float4*>(stage_ + i + u * 128) = v[u];
          each(v[u], i + u * 128, look);
        }
      }
    }
    visit_from(vectors_ ? i : begin_ + lane(), [&](float x, int k) {
      if (rows_.staged) stage_[k] = x;
      look(x, k);
    });
    if (rows_.staged) {
      values_ = stage_;
      vectors_ = true;
    }
    return top_of(reduce(best.candidate(first_), Larger()));  // its barriers also end the staging
  }

  __device__ void set_scale(float max, float temperature) {
    max_ = max;
    scale_ = fminf(1 / temperature, 3e38f);  // 0 * scale must not be NaN
  }
  __device__ uint64_t weight(float x) const { return __float2ull_rn(expf((x - max_) * scale_) * kUnits); }

  // The mass of the row.
  __device__ uint64_t total() {
    uint64_t sum = 0;
    visit([&](float x, int) { sum += weight(x); });
    return reduce(sum, Sum());
  }

  __device__ Cut keep_count(Shared& shared, uint64_t count) {
    return select(shared, count, 64, [](float) { return uint64_t{1}; });
  }
  // The fewest, by falling logit, whose mass reaches the share of `mass`.
  __device__ Cut keep_mass(Shared& shared, float share, uint64_t mass) {
    const uint64_t wanted = __double2ull_ru(static_cast<double>(share) * static_cast<double>(mass));
    return select(shared, wanted > 0 ? wanted : 1, 64 * scale_, [this](float x) { return weight(x); });
  }
  __device__ uint64_t mass_of(const Cut& cut) {
    uint64_t sum = 0;
    visit([&](float x, int) { sum += key_of(x) > cut.key ? weight(x) : 0; });
    return reduce(sum, Sum()) + cut.ties * weight(value_of(cut.key));
  }

  // Inverse transform over the ids that the cut keeps, in rising order: first the warp's ids in which the sum
  // passes the share `unit` of all, then the id. In the first block alone, whose threads all get it.
  __device__ int32_t walk(Shared& shared, const Cut& cut, float unit) {
    uint64_t mass = 0, ties = 0;
    visit([&](float x, int) {
      const uint32_t key = key_of(x);
      mass += key > cut.key ? weight(x) : 0;
      ties += key == cut.key;
    });
    mass = over_warp(mass, Sum());
    ties = over_warp(ties, Sum());
    const int place = team_.rank() * kWarps + warp();
    if (lane() == 0) {
      *team_.at(&shared.masses[place], 0) = mass;
      *team_.at(&shared.ties[place], 0) = ties;
    }
    team_.sync();
    if (team_.rank() != 0) return 0;

    const int thread = static_cast<int>(threadIdx.x), places = team_.size() * kWarps;
    const uint64_t at_tie = weight(value_of(cut.key));
    uint64_t all = 0;
    ties = thread < places ? shared.ties[thread] : 0;
    const uint64_t taken = min(ties, left_of(cut.ties, scan(ties, all)));
    mass = thread < places ? shared.masses[thread] + taken * at_tie : 0;
    const uint64_t before = scan(mass, all);
    const auto target = static_cast<uint64_t>(static_cast<double>(unit) * static_cast<double>(all));
    if (before <= target && target - before < mass) {
      shared.found = {thread, before};
      shared.ties[0] = taken;  // read by its own thread above, two barriers ago
    }
    __syncthreads();
    return walk_chunk(shared, cut, static_cast<int>(shared.found.index), target - shared.found.before,
                      shared.ties[0]);
  }

  // put(place among those kept, logit, column) for all that the cut keeps; places are in the columns' order.
  template <class Put>
  __device__ void list(Shared& shared, const Cut& cut, const Put& put) {
    uint64_t above = 0, ties = 0;
    visit([&](float x, int) {
      const uint32_t key = key_of(x);
      above += key > cut.key;
      ties += key == cut.key;
    });
    above = over_warp(above, Sum());
    ties = over_warp(ties, Sum());
    const int mine = team_.rank() * kWarps + warp();
    if (lane() < team_.size()) {
      *team_.at(&shared.masses[mine], lane()) = above;
      *team_.at(&shared.ties[mine], lane()) = ties;
    }
    team_.sync();
    if (above + ties == 0) return;  // no barrier follows
    uint64_t place = 0, ties_before = 0;
    for (int warp = lane(); warp < mine; warp += 32) {
      place += shared.masses[warp];
      ties_before += shared.ties[warp];
    }
    ties_before = over_warp(ties_before, Sum());
    place = over_warp(place, Sum()) + min(cut.ties, ties_before);
    const unsigned before_me = (1u << lane()) - 1;
    for (int base = begin_; base < end_; base += 32) {
      const int i = base + lane();
      const bool there = i < end_;
      const float x = there ? values_[i] : 0.0f;
      const uint32_t key = key_of(x);
      const bool tie = there && key == cut.key;
      const unsigned tied = __ballot_sync(kAll, tie);
      const bool kept = there && (tie ? ties_before + __popc(tied & before_me) < cut.ties : key > cut.key);
      const unsigned all = __ballot_sync(kAll, kept);
      if (kept) put(static_cast<int64_t>(place) + __popc(all & before_me), x, first_ + i);
      place += __popc(all);
      ties_before += __popc(tied);
    }
  }

 private:
  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % 32; }
  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / 32; }
  static __device__ __forceinline__ uint64_t left_of(uint64_t all, uint64_t taken) {
    return all > taken ? all - taken : 0;
  }

  template <class F>
  static __device__ __forceinline__ void each(const float4& v, int i, const F& f) {
    f(v.x, i), f(v.y, i + 1), f(v.z, i + 2), f(v.w, i + 3);
  }
  // f(logit, index in this block's) for all that is this thread's, from `i` on in rising order.
  template <class F>
  __device__ __forceinline__ void visit_from(int i, const F& f) const {
    if (vectors_) {
      for (; i + 4 <= end_; i += 128) each(*reinterpret_cast<const float4*>(values_ + i), i, f);
      for (; i < end_; ++i) f(values_[i], i);  // the end of the row
      return;
    }
#pragma unroll 4
    for (; i < end_; i += 32) f(values_[i], i);
  }
  template <class F>
  __device__ __forceinline__ void visit(const F& f) const {
    visit_from(begin_ + (vectors_ ? lane() * 4 : lane()), f);
  }

  template <class Op>
  static __device__ __forceinline__ uint64_t over_warp(uint64_t value, const Op& op, int lanes = 32) {
    for (int offset = lanes / 2; offset > 0; offset /= 2)
      value = op(value, __shfl_xor_sync(kAll, value, offset));
    return value;
  }
  // Over the row's threads, in all of them.
  template <class Op>
  __device__ uint64_t reduce(uint64_t value, const Op& op) {
    value = over_warp(value, op);
    if (lane() == 0) exchange_.warps[warp()] = value;
    __syncthreads();
    value = over_warp(exchange_.warps[lane()], op);
    const int blocks = team_.size();
    if (threadIdx.x < static_cast<unsigned>(blocks))
      *team_.at(&exchange_.blocks[turn_][team_.rank()], static_cast<int>(threadIdx.x)) = value;
    team_.sync();
    value = over_warp(exchange_.blocks[turn_][lane() % blocks], op, blocks);
    turn_ ^= 1;
    return value;
  }
  static __device__ __forceinline__ uint64_t scan_warp(uint64_t value) {
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const uint64_t up = __shfl_up_sync(kAll, value, offset);
      if (lane() >= offset) value += up;
    }
    return value;
  }
  // The sum over the block's threads before this one, and over all.
  __device__ uint64_t scan(uint64_t value, uint64_t& all) {
    const uint64_t within = scan_warp(value);
    if (lane() == 31) exchange_.warps[warp()] = within;
    __syncthreads();
    const uint64_t warps = scan_warp(exchange_.warps[lane()]);
    const uint64_t before = __shfl_sync(kAll, warps, max(warp() - 1, 0));
    all = __shfl_sync(kAll, warps, 31);
    __syncthreads();
    return (warp() > 0 ? before : 0) + within - value;
  }

  static __device__ __forceinline__ void add(Shared& shared, int bin, uint64_t value) {
    const auto low = static_cast<uint32_t>(value);
    const uint32_t old = atomicAdd(&shared.low[bin], low);
    const uint32_t high = static_cast<uint32_t>(value >> 32) + (old + low < old);
    if (high) atomicAdd(&shared.high[bin], high);
  }
  // shared.bins: the measures of the row's logits by bin; bin -1 is left out. Logits gather in the last bin,
  // which takes all that is far away: each thread adds those up by itself first.
  template <class BinOf, class Measure>
  __device__ void histogram(Shared& shared, const BinOf& bin_of, const Measure& measure) {
    const int thread = static_cast<int>(threadIdx.x), blocks = team_.size();
    for (int bin = thread; bin < kBins; bin += kDrawThreads) shared.low[bin] = shared.high[bin] = 0;
    __syncthreads();
    uint64_t far = 0;
    visit([&](float x, int) {
      const int bin = bin_of(x);
      if (bin == kBins - 1) {
        far += measure(x);
      } else if (bin >= 0) {
        add(shared, bin, measure(x));
      }
    });
    far = over_warp(far, Sum());
    if (lane() == 0 && far > 0) add(shared, kBins - 1, far);
    team_.sync();
    const int of_block = kBins / blocks, first = team_.rank() * of_block;
    for (int bin = first + thread; bin < first + of_block; bin += kDrawThreads) {
      uint64_t sum = 0;
      for (int rank = 0; rank < blocks; ++rank)
        sum += (uint64_t{*team_.at(&shared.high[bin], rank)} << 32) + *team_.at(&shared.low[bin], rank);
      for (int rank = 0; rank < blocks; ++rank) *team_.at(&shared.bins[bin], rank) = sum;
    }
    team_.sync();
  }
  // The bin in which the sum of shared.bins reaches `wanted`, and the sum before it.
  __device__ Found find(Shared& shared, uint64_t wanted) {
    const int bin = 2 * static_cast<int>(threadIdx.x);
    const uint64_t one = shared.bins[bin], two = shared.bins[bin + 1];
    uint64_t all = 0;
    const uint64_t before = scan(one + two, all);
    if (before < wanted && wanted - before <= one + two) {
      const bool second = wanted - before > one;
      shared.found = {bin + second, before + (second ? one : 0)};
    }
    __syncthreads();
    return shared.found;  // written again two barriers later at the earliest
  }

  // The fewest, by falling logit and then rising id, whose measures reach `wanted`. First bins of equal width
  // under the largest logit, `per_logit` of them for a difference of 1: there logits spread. (By their keys
  // they would not, since those of one power of 2 have most bits in common.) Then the keys within one such
  // bin.
  template <class Measure>
  __device__ Cut select(Shared& shared, uint64_t wanted, float per_logit, const Measure& measure) {
    const auto bin_of = [this, per_logit](float x) {
      const float distance = (max_ - x) * per_logit;
      return distance < kBins - 1 ? static_cast<int>(distance) : kBins - 1;
    };
    histogram(shared, bin_of, measure);
    Found found = find(shared, wanted);
    wanted -= found.before;
    uint64_t range = 0;  // the largest key above the complement of the lowest
    visit([&](float x, int) {
      const uint32_t key = key_of(x);
      if (bin_of(x) == found.index) range = LargerHalves()(range, uint64_t{key} << 32 | ~key);
    });
    range = reduce(range, LargerHalves());
    uint32_t top = LargerHalves::high(range), bottom = ~static_cast<uint32_t>(range);
    while (bottom < top) {
      const int shift = max(0, 32 - __clz(static_cast<int>(top - bottom)) - 11);
      static_assert(kBins == 1 << 11);
      histogram(
          shared,
          [=](float x) {
            const uint32_t key = key_of(x);
            return key < bottom || key > top ? -1 : static_cast<int>((top - key) >> shift);
          },
          measure);
      found = find(shared, wanted);
      wanted -= found.before;
      top -= static_cast<uint32_t>(found.index) << shift;
      bottom = max(bottom, top - min(top, (1u << shift) - 1));
    }
    const uint64_t each_tie = measure(value_of(top));
    return {top, (wanted + each_tie - 1) / each_tie};
  }

  // walk() within the ids of one warp, of which `ties` at the cut are kept.
  __device__ int32_t walk_chunk(Shared& shared, const Cut& cut, int chunk, uint64_t left, uint64_t ties) {
    for (int base = 0; base < rows_.chunk; base += kDrawThreads) {
      const int i = base + static_cast<int>(threadIdx.x), id = chunk * rows_.chunk + i;
      const bool there = i < rows_.chunk && id < rows_.columns;
      const float x = there ? row_[id] : 0.0f;
      const uint32_t key = key_of(x);
      const bool tie = there && key == cut.key;
      uint64_t all_ties = 0, all = 0;
      const uint64_t ties_before = scan(tie, all_ties);
      const bool kept = there && (tie ? ties_before < ties : key > cut.key);
      const uint64_t mass = kept ? weight(x) : 0, before = scan(mass, all);
      if (before <= left && left - before < mass) shared.found.index = id;
      if (left < all) break;
      left -= all;
      ties = left_of(ties, all_ties);
    }
    __syncthreads();
    return static_cast<int32_t>(shared.found.index);
  }

  const LogitRows& rows_;
  BlockTeam team_;
  Exchange& exchange_;
  float* stage_;
  const float* row_;     // from memory
  const float* values_;  // this block's, wherever they are
  int first_;            // id of values_[0]
  int begin_, end_;      // this warp's in values_
  bool vectors_;
  int turn_ = 0;
  float max_ = 0, scale_ = 1;
};

}  // namespace bolide::cuda
