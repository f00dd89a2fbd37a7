// Times the ops on bloom-560m's shapes, against roofs measured in the same run. Matmul cases own enough
// copies of their weights that these come from memory, as a model's do.
//
//   bench_ops [--threads N] [--filter TEXT] [--seconds S]      BOLIDE_CPU_ISA picks the instruction set
#include <fmt/format.h>
#include <time.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "ops/cases.h"
#include "ops/roof.h"

namespace bolide {
namespace {

using test::Case;
using test::OpCase;
using Clock = std::chrono::steady_clock;

struct Options {
  int threads = 2;
  std::string filter;
  double seconds = 1;
};

// Weights and output of one shape are made `copies` times and used in turn, so that what one run leaves in
// the caches is not what the next one reads.
struct Timing {
  std::string name;
  std::function<Case()> make;
  int copies = 1;
};

struct Roofs {
  double bandwidth = 0;
  std::map<DType, double> flops;
};

// With one thread, the processor time of this process: the same as wall time on a quiet machine, and of use
// on a busy one.
double now(const Options& options) {
  timespec time{};
  ::clock_gettime(options.threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double best_seconds(const Options& options, const Timing& timing, std::vector<Case>& cases) {
  Arena arena;
  const Context context = {.threads = options.threads, .arena = &arena};
  for (int i = 0; i < timing.copies; ++i) cases.push_back(timing.make());
  for (Case& one : cases) {
    one->poison();
    one->run(context);
  }
  double best = 1e30;
  const Clock::time_point until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                     std::chrono::duration<double>(options.seconds));
  do {
    for (Case& one : cases) {
      const double start = now(options);
      one->run(context);
      best = std::min(best, now(options) - start);
    }
  } while (Clock::now() < until);
  return best;
}

void time_one(const Options& options, Roofs& roofs, const Timing& timing) {
  if (timing.name.find(options.filter) == std::string::npos) return;
  std::vector<Case> cases;
  const double seconds = best_seconds(options, timing, cases);
  const OpCase& one = *cases[0];
  if (!roofs.flops.contains(one.dtype()))
    roofs.flops[one.dtype()] = measure_peak_flops({.threads = options.threads}, one.dtype());
  const double flops = one.flops() / seconds, bytes = one.bytes() / seconds;
  const double floor = std::max(one.flops() / roofs.flops[one.dtype()], one.bytes() / roofs.bandwidth);
  fmt::print("{:42} {:10.1f} us {:8.1f} GB/s ({:4.0f} %) {:9.1f} GFLOP/s ({:4.0f} %)  roof {:4.0f} %\n",
             timing.name, seconds * 1e6, bytes / 1e9, 100 * bytes / roofs.bandwidth, flops / 1e9,
             100 * flops / roofs.flops[one.dtype()], 100 * floor / seconds);
  std::fflush(stdout);
}

std::vector<Timing> timings() {
  std::vector<Timing> all;
  struct Weights {
    const char* name;
    int64_t out, in;
    int copies;  // about 200 MB of fp32
  };
  constexpr Weights kWeights[] = {{"qkv", 3072, 1024, 16},
                                  {"dense", 1024, 1024, 48},
                                  {"up", 4096, 1024, 12},
                                  {"down", 1024, 4096, 12},
                                  {"head", 250880, 1024, 1}};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int64_t tokens : {1, 8, 16, 128, 1024}) {
      for (const Weights& w : kWeights) {
        if (tokens > 16 && w.out > 100'000) continue;
        const bool up = !std::strcmp(w.name, "up");
        all.push_back({fmt::format("matmul/{}/{}/{}", name_of(dtype), w.name, tokens),
                       [=] {
                         return test::matmul_case(
                             {.tokens = tokens,
                              .out = w.out,
                              .in = w.in,
                              .dtype = dtype,
                              .bias = w.out < 100'000,
                              .activation = up ? Activation::kGeluTanh : Activation::kNone});
                       },
                       w.copies * static_cast<int>(4 / size_of(dtype))});
      }
    }
    for (int64_t length : {128, 1024})
      for (int64_t batch : {1, 8})
        all.push_back({fmt::format("attention/{}/decode{}x{}", name_of(dtype), batch, length),
                       [=] {
                         return test::attention_case(
                             {.queries = std::vector<int64_t>(static_cast<size_t>(batch), 1),
                              .lengths = std::vector<int64_t>(static_cast<size_t>(batch), length),
                              .heads = 16,
                              .kv_heads = 16,
                              .dtype = dtype});
                       },
                       4});
    for (int64_t length : {128, 1024})
      all.push_back(
          {fmt::format("attention/{}/prefill{}", name_of(dtype), length), [=] {
             return test::attention_case(
                 {.queries = {length}, .lengths = {length}, .heads = 16, .kv_heads = 16, .dtype = dtype});
           }});
  }
  for (int64_t tokens : {1, 8, 128, 1024}) {
    all.push_back(
        {fmt::format("layer_norm/{}", tokens), [=] { return test::layer_norm_case(tokens, 1024, false); }});
    all.push_back({fmt::format("add/{}", tokens), [=] { return test::add_case(tokens, 1024); }});
    all.push_back({fmt::format("embedding/bf16/{}", tokens),
                   [=] { return test::embedding_case(tokens, 25088, 1024, DType::kBF16, 0); }});
  }
  return all;
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--threads") options.threads = std::atoi(argv[i + 1]);
    if (flag == "--filter") options.filter = argv[i + 1];
    if (flag == "--seconds") options.seconds = std::atof(argv[i + 1]);
  }
  Roofs roofs;
  roofs.bandwidth = measure_read_bandwidth({.threads = options.threads});
  fmt::print("{} threads, read bandwidth {:.1f} GB/s; fp32 on {}, bf16 on {}\n", options.threads,
             roofs.bandwidth / 1e9, instruction_set(DType::kF32), instruction_set(DType::kBF16));
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    roofs.flops[dtype] = measure_peak_flops({.threads = options.threads}, dtype);
    fmt::print("{} peak {:.0f} GFLOP/s\n", name_of(dtype), roofs.flops[dtype] / 1e9);
  }
  for (const Timing& timing : timings()) time_one(options, roofs, timing);
  return 0;
}

}  // namespace
}  // namespace bolide

int main(int argc, char** argv) { return bolide::run(argc, argv); }
