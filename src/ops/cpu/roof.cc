#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/roof.cc"
#include "hwy/foreach_target.h"
// Highway re-includes this file for each target: what it includes first must stay first.
#include <atomic>
#include <chrono>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "ops/cpu/gemm_bf16.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/parallel.h"
#include "ops/roof.h"

HWY_BEFORE_NAMESPACE();
namespace bolide::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// Enough independent chains to hide a multiply-add's latency of 4 cycles on two units. FLOPs done.
double run_fma(int64_t steps) {
  const D d;
  const V scale = hn::Set(d, 0.999f + static_cast<float>(steps & 1) * 1e-6f), add = hn::Set(d, 0.001f);
  // All different: equal chains would be merged by the compiler.
  const auto start = [d](int value) HWY_ATTR { return hn::Set(d, static_cast<float>(value)); };
  V a = start(1), b = start(2), c = start(3), e = start(4), f = start(5);
  V g = start(6), h = start(7), i = start(8), j = start(9), k = start(10);
  for (int64_t s = 0; s < steps; ++s) {
    a = hn::MulAdd(a, scale, add);
    b = hn::MulAdd(b, scale, add);
    c = hn::MulAdd(c, scale, add);
    e = hn::MulAdd(e, scale, add);
    f = hn::MulAdd(f, scale, add);
    g = hn::MulAdd(g, scale, add);
    h = hn::MulAdd(h, scale, add);
    i = hn::MulAdd(i, scale, add);
    j = hn::MulAdd(j, scale, add);
    k = hn::MulAdd(k, scale, add);
  }
  const V sum = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)),
                        hn::Add(hn::Add(f, g), hn::Add(hn::Add(h, i), hn::Add(j, k))));
  // A product with 0 that the compiler may not assume to be 0 keeps the loop alive.
  return 20.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(steps) +
         0.0 * static_cast<double>(hn::GetLane(sum));
}

// The sum of the words, so that no load can be left out. `bytes` is a multiple of 256.
uint32_t run_read(const std::byte* from, int64_t bytes) {
  constexpr int64_t kAhead = 4096;
  const hn::CappedTag<uint32_t, 16> d;
  const int64_t width = static_cast<int64_t>(hn::Lanes(d)) * 4;
  auto even = hn::Zero(d), odd = hn::Zero(d);
  for (int64_t at = 0; at < bytes; at += 128) {
    hwy::Prefetch(from + at + kAhead);
    hwy::Prefetch(from + at + kAhead + 64);
    for (int64_t i = 0; i < 64; i += width) {
      even = hn::Add(even, hn::Load(d, reinterpret_cast<const uint32_t*>(from + at + i)));
      odd = hn::Add(odd, hn::Load(d, reinterpret_cast<const uint32_t*>(from + at + 64 + i)));
    }
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
}

}  // namespace HWY_NAMESPACE
}  // namespace bolide::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bolide::cpu {
HWY_EXPORT(run_fma);
HWY_EXPORT(run_read);
namespace {

template <class F>
double best_seconds(int runs, F&& f) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const Clock::time_point start = Clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

double flops(DType dtype, int64_t steps) {
  if constexpr (kX86) {
    if (dtype == DType::kBF16 && isa() == Isa::kAmx) return amx_flops(steps / 8);
    if (dtype == DType::kBF16 && isa() == Isa::kAvx512Bf16) return bf16_dot_flops(steps);
  }
  return HWY_DYNAMIC_DISPATCH(run_fma)(steps);
}

}  // namespace

// 1 GiB: some servers' last-level caches hold half of that, no desktop's a tenth.
double measure_read_bandwidth(const Context& context) {
  isa();
  constexpr int64_t kPieces = 1024, kPieceBytes = int64_t{1} << 20;
  const Tensor memory = Tensor::zeros({kPieces * kPieceBytes}, DType::kU8);
  const auto* from = static_cast<const std::byte*>(memory.view().data);
  std::atomic<uint32_t> sum{0};
  const double seconds = best_seconds(7, [&] {
    parallel_ranges(context, kPieces, [&](int64_t begin, int64_t end) {
      sum += HWY_DYNAMIC_DISPATCH(run_read)(from + begin * kPieceBytes, (end - begin) * kPieceBytes);
    });
  });
  BOLIDE_CHECK(sum.load() == 0);
  return static_cast<double>(kPieces * kPieceBytes) / seconds;
}

double measure_peak_flops(const Context& context, DType weight_dtype) {
  isa();
  constexpr int64_t kSteps = 2'000'000;
  std::atomic<double> done{0};
  const double seconds = best_seconds(5, [&] {
    done = 0;
    parallel_ranges(context, context.threads, [&](int64_t, int64_t) { done += flops(weight_dtype, kSteps); });
  });
  return done.load() / seconds;
}

const char* instruction_set(DType weight_dtype) {
  const bool bf16 = weight_dtype == DType::kBF16;
  switch (isa()) {
    case Isa::kGeneric:
      return kX86 ? "baseline" : "NEON";
    case Isa::kAvx2:
      return "AVX2";
    case Isa::kAvx512:
      return "AVX-512";
    case Isa::kAvx512Bf16:
      return bf16 ? "AVX-512 + AVX512-BF16" : "AVX-512";
    case Isa::kAmx:
      return bf16 ? "AVX-512 + AMX-BF16" : "AVX-512";
  }
  return "baseline";
}

}  // namespace bolide::cpu
#endif
