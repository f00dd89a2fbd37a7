#include "ops/roof.h"

#include <chrono>

#include "ops/cpu/parallel.h"

namespace bolide::cpu {
namespace {
template <class F>
double best_seconds(int runs, F&& f) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}
}  // namespace

double measure_read_bandwidth(const Context& context) {
  constexpr int64_t kWords = int64_t{1} << 27;  // 1 GiB of 8-byte words
  const Tensor memory = Tensor::zeros({kWords}, DType::kI64);
  const int64_t* words = memory.as<int64_t>();
  volatile int64_t sink = 0;
  const double seconds = best_seconds(5, [&] {
    parallel_ranges(context, kWords, [&](int64_t begin, int64_t end) {
      int64_t sum = 0;
      for (int64_t i = begin; i < end; ++i) sum += words[i];
      sink = sum;
    });
  });
  return static_cast<double>(kWords) * 8 / seconds;
}

double measure_peak_flops(const Context& context, DType) {
  constexpr int64_t kSteps = 2'000'000;
  constexpr int kLanes = 48;
  volatile float sink = 0;
  const double seconds = best_seconds(3, [&] {
    parallel_ranges(context, context.threads, [&](int64_t, int64_t) {
      float sum[kLanes] = {};
      for (int64_t i = 0; i < kSteps; ++i)
        for (float& lane : sum) lane = lane * 0.999f + 1.0f;
      sink = sum[0];
    });
  });
  return 2.0 * kLanes * static_cast<double>(kSteps) * context.threads / seconds;
}

const char* instruction_set(DType) { return "baseline"; }

}  // namespace bolide::cpu
