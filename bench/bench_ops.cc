// Times the ops on the shapes of bloom-560m, on a GPU also of bloom-7b1 and the products of LLaMA-3-8B with
// fp16 and int8 weights, against roofs measured in the same run. Matmul and decode cases own enough copies of
// their weights that these come from memory, as a model's do.
//
//   bench_ops [--device cpu|cuda] [--threads N] [--filter TEXT] [--seconds S]
//
// BOLIDE_CPU_ISA picks the instruction set.
#include <fmt/format.h>
#include <time.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "ops/cases.h"
#include "ops/roof.h"
#include "tensor/device.h"

namespace bolide {
namespace {

using test::Case;
using test::OpCase;
using Clock = std::chrono::steady_clock;

struct Options {
  Device device = Device::kCpu;
  int threads = 2;
  std::string filter;
  double seconds = 1;
};

// Weights and output of one shape are made several times and used in turn, so that what one run leaves in the
// caches is not what the next one reads.
struct Timing {
  std::string name;
  std::function<Case()> make;
  bool from_memory = false;  // as many copies as no cache holds
};

struct Roofs {
  double bandwidth = 0;
  std::map<DType, double> flops;
};

// With one thread, the processor time of this process: the same as wall time on a quiet machine, and of use
// on a busy one.
double now(const Options& options) {
  timespec time{};
  const bool alone = options.device == Device::kCpu && options.threads == 1;
  ::clock_gettime(alone ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The least over `options.seconds`, by `work`, which does it `count` times over.
template <class Work>
double best_seconds(const Options& options, double count, const Work& work) {
  double best = 1e30;
  const Clock::time_point until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                     std::chrono::duration<double>(options.seconds));
  do {
    const double start = now(options);
    work();
    best = std::min(best, (now(options) - start) / count);
  } while (Clock::now() < until);
  return best;
}

// On a GPU a graph of many runs, as a model's steps are graphs of many ops.
double run_cases(const Options& options, const Context& context, const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    one->poison();
    one->prepare(context);
    for (int i = 0; i < 3; ++i) one->compute(context);  // the arena comes to rest
  }
  if (options.device == Device::kCpu) {
    size_t next = 0;
    return best_seconds(options, 1, [&] { cases[next++ % cases.size()]->compute(context); });
  }
  synchronize(context);
  Options once = options;
  once.seconds = 0;
  const double seconds = best_seconds(once, 1, [&] {
    cases[0]->compute(context);
    synchronize(context);
  });
  // About 2 ms, but no more nodes than are quickly instantiated.
  const auto rounds =
      static_cast<size_t>(std::clamp(2e-3 / seconds / static_cast<double>(cases.size()), 1.0, 100.0));
  Graph graph;
  graph.capture(context, [&] {
    for (size_t i = 0; i < rounds; ++i)
      for (const Case& one : cases) one->compute(context);
  });
  return best_seconds(options, static_cast<double>(rounds * cases.size()), [&] {
    graph.launch(context);
    synchronize(context);
  });
}

void time_one(const Options& options, Context context, Roofs& roofs, const Timing& timing) {
  if (timing.name.find(options.filter) == std::string::npos) return;
  // CPUs have up to some 100 MB of cache and GPUs some 50 MB.
  constexpr double kUncached = 200e6;
  std::vector<Case> cases;
  cases.push_back(timing.make());
  const OpCase& one = *cases[0];
  if (timing.from_memory)
    while (static_cast<double>(cases.size()) < std::min(kUncached / one.bytes(), 200.0))
      cases.push_back(timing.make());
  context.activation = one.activation();
  const double seconds = run_cases(options, context, cases);
  const double flops = one.flops() / seconds, bytes = one.bytes() / seconds;
  const double floor = std::max(one.flops() / roofs.flops[one.dtype()], one.bytes() / roofs.bandwidth);
  fmt::print("{:42} {:10.1f} us {:8.1f} GB/s ({:4.0f} %) {:9.3f} TFLOP/s ({:4.0f} %)  roof {:4.0f} %\n",
             timing.name, seconds * 1e6, bytes / 1e9, 100 * bytes / roofs.bandwidth, flops / 1e12,
             100 * flops / roofs.flops[one.dtype()], 100 * floor / seconds);
}

struct Gemm {
  const char* name;
  int64_t out, in;
};

// A model's shapes.
struct Model {
  const char* name;
  int64_t hidden, heads;
  bool llama = false;  // else BLOOM
  std::vector<Gemm> gemms() const {
    const int64_t h = hidden;
    if (llama)
      return {{"qkv", h + h / 2, h},
              {"dense", h, h},
              {"up", 7 * h / 2, h},
              {"down", h, 7 * h / 2},
              {"head", 128256, h}};
    return {{"qkv", 3 * h, h}, {"dense", h, h}, {"up", 4 * h, h}, {"down", h, 4 * h}, {"head", 250880, h}};
  }
};

// The products of a layer and the head. On a GPU as a layer calls them: with the norm before and the sum
// after. Int8 weights meet fp16.
void add_matmuls(std::vector<Timing>& all, const Options& options, const Model& model, DType dtype,
                 const std::vector<int64_t>& rows) {
  const DType met = dtype == DType::kI8 ? DType::kF16 : dtype;
  const DType activation = activation_dtype(options.device, met);
  for (int64_t tokens : rows) {
    for (const Gemm& w : model.gemms()) {
      const std::string_view name = w.name;
      const bool head = name == "head", last = name == "dense" || name == "down",
                 gpu = options.device == Device::kCuda;
      if (head && tokens > 64) continue;
      const test::MatmulShape shape = {.tokens = tokens,
                                       .out = w.out,
                                       .in = w.in,
                                       .dtype = dtype,
                                       .x = last ? activation : DType::kF32,
                                       .y = last || head ? DType::kF32 : activation,
                                       .int8_x = met,
                                       .bias = !head && !model.llama,
                                       .activation = name != "up"  ? Activation::kNone
                                                     : model.llama ? Activation::kSilu
                                                                   : Activation::kGeluTanh,
                                       .norm = gpu && !last,
                                       .accumulate = gpu && last,
                                       .rms = model.llama,
                                       .gated = model.llama && name == "up"};
      const auto push = [&](std::string_view kind, const test::MatmulShape& one) {
        all.push_back({fmt::format("{}/matmul/{}/{}{}/{}", model.name, name_of(dtype), name, kind, tokens),
                       [one] { return test::matmul_case(one); }, true});
      };
      push("", shape);
      // What the norm costs where the product does it on the way.
      if (!shape.norm || head || tokens > 8) continue;
      test::MatmulShape plain = shape;
      plain.norm = false;
      plain.x = activation;
      push("_plain", plain);
    }
  }
}

void add_attention(std::vector<Timing>& all, const Options& options, const Model& model, DType dtype,
                   const std::vector<int64_t>& batches, const std::vector<int64_t>& prompts) {
  const test::AttentionShape base = {.queries = {},
                                     .lengths = {},
                                     .heads = model.heads,
                                     .kv_heads = model.llama ? model.heads / 4 : model.heads,
                                     .head_size = model.hidden / model.heads,
                                     .dtype = dtype,
                                     .activation = activation_dtype(options.device, dtype),
                                     .alibi = !model.llama,
                                     .fused = true,
                                     .gap = 0,
                                     .rotary = model.llama ? model.hidden / model.heads / 2 : 0};
  for (int64_t batch : batches) {
    // 144 is the middle of what `bolide bench` decodes: 32 tokens after 128.
    for (int64_t length : {options.device == Device::kCpu ? 128 : 144, 1024}) {
      test::AttentionShape shape = base;
      shape.queries.assign(static_cast<size_t>(batch), 1);
      shape.lengths.assign(static_cast<size_t>(batch), length);
      all.push_back({fmt::format("{}/attention/{}/decode{}x{}", model.name, name_of(dtype), batch, length),
                     [shape] { return test::attention_case(shape); }, true});
    }
  }
  for (int64_t length : prompts) {
    test::AttentionShape shape = base;
    shape.queries = shape.lengths = {length};
    all.push_back({fmt::format("{}/attention/{}/prefill{}", model.name, name_of(dtype), length),
                   [shape] { return test::attention_case(shape); }});
  }
}

void add_rows(std::vector<Timing>& all, const Options& options, const Model& model,
              const std::vector<int64_t>& rows) {
  const DType activation = activation_dtype(options.device, DType::kF16);
  const int64_t hidden = model.hidden;
  for (int64_t tokens : rows) {
    const auto push = [&](const char* op, std::function<Case()> make) {
      all.push_back({fmt::format("{}/{}/{}", model.name, op, tokens), std::move(make)});
    };
    push("layer_norm", [=] { return test::layer_norm_case(tokens, hidden, false, activation, 0); });
    push("add", [=] { return test::add_case(tokens, hidden, activation, 0); });
    push("embedding/bf16", [=] { return test::embedding_case(tokens, 25088, hidden, DType::kBF16, 0, 0); });
  }
}

void add_sampling(std::vector<Timing>& all) {
  const auto push = [&](const char* kind, const SampleRow& row, bool log_probs) {
    for (int64_t rows : {1, 8, 64})
      all.push_back({fmt::format("sample/{}/{}", kind, rows),
                     [=] { return test::sample_case(rows, 250880, row, log_probs); }});
  };
  push("greedy", {}, false);
  push("greedy+log_probs", {}, true);
  push("top_k50", {.top_k = 50}, false);
  push("top_p0.9", {.top_p = 0.9f}, false);
  push("top_k50_p0.9", {.top_k = 50, .top_p = 0.9f}, false);
  push("all", {.top_p = 1}, false);
}

std::vector<Timing> timings(const Options& options) {
  constexpr Model kSmall = {"560m", 1024, 16}, kLarge = {"7b1", 4096, 32},
                  kLlama = {"llama3", 4096, 32, true};
  std::vector<Timing> all;
  if (options.device == Device::kCpu) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      add_matmuls(all, options, kSmall, dtype, {1, 8, 16, 128, 1024});
      add_attention(all, options, kSmall, dtype, {1, 8}, {128, 1024});
    }
    add_rows(all, options, kSmall, {1, 8, 128, 1024});
  } else {
    for (DType dtype : {DType::kF16, DType::kF32}) {
      add_matmuls(all, options, kSmall, dtype, {1, 8, 64, 512, 2048});
      add_attention(all, options, kSmall, dtype, {1, 8, 64}, {128, 2048, 8192});
    }
    add_matmuls(all, options, kLarge, DType::kF16, {1, 8, 64, 512, 2048});
    for (DType dtype : {DType::kF16, DType::kI8})
      add_matmuls(all, options, kLlama, dtype, {1, 2, 4, 8, 16, 32, 64, 512});
    add_attention(all, options, kLarge, DType::kF16, {1, 8, 64}, {128, 2048, 8192});
    add_attention(all, options, kLlama, DType::kF16, {1, 32}, {512, 2048});
    for (const Model& model : {kSmall, kLarge}) add_rows(all, options, model, {1, 64, 2048});
  }
  add_sampling(all);
  return all;
}

int run(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // a line out as soon as it is measured, also into a file
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--threads") {
      options.threads = std::atoi(value.data());
    } else if (flag == "--filter") {
      options.filter = value;
    } else if (flag == "--seconds") {
      options.seconds = std::atof(value.data());
    } else if (flag == "--device" && (value == "cpu" || value == "cuda")) {
      options.device = value == "cuda" ? Device::kCuda : Device::kCpu;
    } else {
      fmt::print(stderr, "bench_ops [--device cpu|cuda] [--threads N] [--filter TEXT] [--seconds S]\n");
      return 2;
    }
  }
  if (options.device == Device::kCuda) use_cuda_device(0);
  const Stream stream(options.device);
  Arena arena(options.device);
  const Context context = {
      .device = options.device, .threads = options.threads, .stream = stream.get(), .arena = &arena};
  Roofs roofs;
  roofs.bandwidth = measure_read_bandwidth(context);
  const std::string where = options.device == Device::kCuda
                                ? cuda_properties().name
                                : fmt::format("{} threads; fp32 on {}, bf16 on {}", options.threads,
                                              instruction_set(DType::kF32), instruction_set(DType::kBF16));
  fmt::print("{}: read bandwidth {:.1f} GB/s\n", where, roofs.bandwidth / 1e9);
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    roofs.flops[dtype] = measure_peak_flops(context, dtype);
    fmt::print("{} peak {:.3f} TFLOP/s\n", name_of(dtype), roofs.flops[dtype] / 1e12);
  }
  for (const Timing& timing : timings(options)) time_one(options, context, roofs, timing);
  return 0;
}

}  // namespace
}  // namespace bolide

int main(int argc, char** argv) {
  try {
    return bolide::run(argc, argv);
  } catch (const bolide::Error& error) {
    fmt::print(stderr, "bench_ops: error: {}\n", error.what());
    return 1;
  }
}
