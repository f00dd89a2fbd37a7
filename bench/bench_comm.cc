// Times sums and gathers over GPUs in a graph: NCCL's, and our own sums by one hop and by two, side by side
// in one run. A JSON line for each. Ranks are threads; a figure is the slowest rank's median.
//
//   bench_comm [--ranks N] [--kb 8,64,1024,8192] [--samples S]
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string_view>

#include "comm/cuda/one_shot.h"
#include "comm/gpu_pattern.h"
#include "comm/gpu_ranks.h"
#include "tensor/cuda/check.h"

namespace bolide {
namespace {

using cuda::check;
using test::GpuRank;

constexpr DType kDType = DType::kBF16;

struct Options {
  int ranks = 0;  // 0: all GPUs
  std::vector<size_t> kb = {8, 64, 1024, 8192};
  int samples = 30;
};

// Points in a stream between which time is taken.
class Stopwatch {
 public:
  Stopwatch() {
    for (cudaEvent_t& event : events_) check(cudaEventCreate(&event), "cudaEventCreate");
  }
  ~Stopwatch() {
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  void start(const Context& context) { record(context, 0); }
  void stop(const Context& context) { record(context, 1); }
  double microseconds() const {
    float milliseconds = 0;
    check(cudaEventSynchronize(events_[1]), "cudaEventSynchronize");
    check(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "cudaEventElapsedTime");
    return milliseconds * 1e3;
  }

 private:
  void record(const Context& context, int which) {
    check(cudaEventRecord(events_[which], static_cast<cudaStream_t>(context.stream)), "cudaEventRecord");
  }
  cudaEvent_t events_[2] = {};
};

struct Way {
  std::string_view name;
  bool own;
  OneShotLimits limits;
};

struct Result {
  double median = 0, best = 0;
};

enum class Op { kAllReduce, kReduceAdd, kAllGather };
constexpr std::string_view name_of(Op op) {
  return op == Op::kAllReduce ? "all_reduce" : op == Op::kReduceAdd ? "reduce_add" : "all_gather";
}

// A sum in place grows by the number of ranks each time: as many in a graph as stay finite.
int calls_of(int ranks) { return 96 / std::bit_width(static_cast<unsigned>(ranks - 1)); }

// y: fp32, the sum's goal, or at least as much memory as what is gathered takes.
Result time_one(const GpuRank& rank, Communicator& comm, Op op, const View& source, const View& x,
                const View& y, int samples) {
  const Context& context = rank.context;
  const int calls = calls_of(rank.size);
  const View flat = x.reshape({x.shape.count()});
  const auto call = [&] {
    if (op == Op::kAllReduce) return comm.all_reduce(context, flat);
    if (op == Op::kReduceAdd) return comm.reduce_add(context, x, {}, y);
    comm.all_gather(context, flat, {y.data, x.dtype, {rank.size, flat.shape[0]}, Device::kCuda});
  };
  const size_t bytes = static_cast<size_t>(x.shape.count()) * size_of(x.dtype);
  copy_on_device(context, x.data, source.data, bytes);
  fill_zero(context, y.data, static_cast<size_t>(y.shape.count()) * size_of(y.dtype));
  call();
  synchronize(context);
  rank.meet();
  Graph graph;
  graph.capture(context, [&] {
    for (int i = 0; i < calls; ++i) call();
  });
  Stopwatch stopwatch;
  std::vector<double> times;
  for (int sample = -3; sample < samples; ++sample) {
    rank.meet();
    copy_on_device(context, x.data, source.data, bytes);
    call();  // the ranks start as one
    copy_on_device(context, x.data, source.data, bytes);
    stopwatch.start(context);
    graph.launch(context);
    stopwatch.stop(context);
    const double each = stopwatch.microseconds() / calls;
    if (sample >= 0) times.push_back(each);
  }
  comm.check();
  rank.meet();
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[0]};
}

void run_rank(const GpuRank& rank, const Options& options, std::vector<Result>& results) {
  test::load_pattern_kernels();
  const size_t most = *std::max_element(options.kb.begin(), options.kb.end()) << 10;
  const auto count = static_cast<int64_t>(most / size_of(kDType));
  const Tensor source = Tensor::allocate({count}, kDType, Device::kCuda);
  const Tensor x = Tensor::allocate({count}, kDType, Device::kCuda);
  const Tensor y = Tensor::allocate({count * rank.size}, DType::kF32, Device::kCuda);
  test::fill_pattern(rank.context, source, 1, rank.rank);
  synchronize(rank.context);
  // Memory for twice as much: a gather fills a third more packets than a sum of as many bytes.
  const Way ways[] = {{"nccl", false, {}}, {"one_shot", true, {2 * most, 0}}, {"two_shot", true, {0, most}}};
  for (const Way& way : ways) {
    std::unique_ptr<Communicator> comm;
    if (way.own) {
      comm = make_one_shot_communicator(rank.context, rank.world, rank.group, Channel::kTensor,
                                        std::make_unique<test::NoLibrary>(rank.size, rank.rank), way.limits);
      if (comm->name() != "one_shot") continue;  // the log says why
    } else {
      try {
        comm = make_nccl_communicator(rank.context, rank.world, rank.group, Channel::kTensor);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kUnsupported) throw;
        if (rank.rank == 0) fmt::print(stderr, "bench_comm: {}\n", error.what());
        continue;
      }
    }
    for (Op op : {Op::kAllReduce, Op::kReduceAdd, Op::kAllGather}) {
      if (op == Op::kAllGather && way.limits.two_shot_bytes > 0) continue;  // one hop is our only way
      for (size_t kb : options.kb) {
        const auto n = static_cast<int64_t>((kb << 10) / size_of(kDType));
        const int64_t hidden = std::min<int64_t>(n, 4096), tokens = n / hidden;
        const auto rows = [&](const Tensor& of) {
          return of.view().slice_rows(0, tokens * hidden).reshape({tokens, hidden});
        };
        results[static_cast<size_t>(rank.rank)] =
            time_one(rank, *comm, op, rows(source), rows(x), rows(y), options.samples);
        rank.meet();
        if (rank.rank == 0) {
          Result slowest;
          for (const Result& one : results)
            if (one.median > slowest.median) slowest = one;
          fmt::print(
              "{{\"op\": \"{}\", \"by\": \"{}\", \"device\": \"{}\", \"ranks\": {}, \"data_type\": \"{}\", "
              "\"bytes\": {}, \"us\": {:.2f}, \"best_us\": {:.2f}}}\n",
              name_of(op), way.name, cuda_properties().name, rank.size, name_of(kDType), kb << 10,
              slowest.median, slowest.best);
        }
        rank.meet();
      }
    }
    rank.meet();
  }
  rank.meet();
}

int run(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--ranks") {
      options.ranks = std::atoi(value);
    } else if (flag == "--samples") {
      options.samples = std::max(1, std::atoi(value));
    } else if (flag == "--kb") {
      options.kb.clear();
      for (char* end = nullptr; *value; value = *end ? end + 1 : end)
        options.kb.push_back(std::max<size_t>(1, std::strtoul(value, &end, 10)));
    } else {
      fmt::print(stderr, "bench_comm [--ranks N] [--kb 8,64,1024,8192] [--samples S]\n");
      return 2;
    }
  }
  const int gpus = cuda_device_count(), ranks = options.ranks ? options.ranks : std::min(gpus, 8);
  if (ranks < 2 || ranks > gpus || options.kb.empty()) {
    fmt::print(stderr, "bench_comm: {} ranks on {} GPU(s): it needs two or more, each with a GPU\n", ranks,
               gpus);
    return 1;
  }
  std::vector<int> devices;
  for (int rank = 0; rank < ranks; ++rank) devices.push_back(rank);
  std::vector<Result> results(devices.size());
  bool failed = false;
  test::run_on_gpus(
      devices, std::chrono::seconds(30), [&](const GpuRank& rank) { run_rank(rank, options, results); },
      [&](const std::string& fault) {
        failed = true;
        fmt::print(stderr, "bench_comm: {}\n", fault);
      });
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace bolide

int main(int argc, char** argv) { return bolide::run(argc, argv); }
