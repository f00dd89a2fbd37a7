// How long stages of a pipeline compute, as they tell rank 0. Built once for each device (TEST_DEVICE); ranks
// are threads, and share one GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "sched/scheduler.h"
#include "worker/rank.h"
#include "worker/step.h"
#include "worker/world.h"

namespace bolide {
namespace {

constexpr bool kOnGpu = std::string_view(TEST_DEVICE) == "cuda";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class StageTimes : public testing::Test {
 protected:
  void SetUp() override {
    if (!kOnGpu) return;
    if (cuda_device_count() == 0) GTEST_SKIP() << "NOT RUN: this machine has no GPU";
    use_cuda_device(0);
  }
};

constexpr auto kPause = std::chrono::milliseconds(2);

// Work that takes as long each time: on a GPU a graph, on the CPU kPause or, where it has to wait, more.
class Work {
 public:
  explicit Work(const Context& context) {
    if (!kOnGpu) return;
    graph_.capture(context, [&] {
      for (int i = 0; i < 20; ++i) fill_zero(context, memory_.view().data, memory_.bytes());
    });
  }
  void run(const Context& context) const {
    if (kOnGpu) {
      graph_.launch(context);
    } else {
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  Tensor memory_ =
      Tensor::allocate({int64_t{kOnGpu ? 64 : 1} << 20}, DType::kU8, kOnGpu ? Device::kCuda : Device::kCpu);
  Graph graph_;
};

// Steps follow each other without a wait, and each has its own time, in its order.
TEST_F(StageTimes, AClockTellsEachStepOnce) {
  const Device device = kOnGpu ? Device::kCuda : Device::kCpu;
  const Stream stream(device);
  const Context context{.device = device, .stream = stream.get()};
  const Work work(context);
  synchronize(context);
  StageClock clock(device, 3);
  std::vector<StageSample> samples;
  clock.take(samples);
  EXPECT_TRUE(samples.empty());
  // A host that is busy elsewhere between two calls lengthens what the clock sees, and never shortens it: the
  // shortest of all rounds is what one piece of work takes.
  double least = kOnGpu ? 1e9 : std::chrono::duration<double>(kPause).count();
  std::vector<std::array<double, 3>> rounds;  // wall, sum of the three, the one of four pieces
  for (int round = 0; round < (kOnGpu ? 10 : 2); ++round) {
    const auto start = std::chrono::steady_clock::now();
    samples.clear();
    clock.start(context);  // given up, as by a fault
    for (int64_t tokens : {7, 1, 30}) {
      clock.start(context);
      for (int64_t i = 0; i < (tokens == 1 ? 4 : 1); ++i) work.run(context);
      clock.stop(context, tokens);
      work.run(context);  // what is between two steps belongs to neither
      if (tokens == 7) clock.take(samples);
    }
    synchronize(context);
    clock.take(samples);
    const double wall = seconds_since(start);
    ASSERT_EQ(samples.size(), 3u);
    const int64_t tokens[] = {7, 1, 30};
    double sum = 0;
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(samples[i].stage, 3);
      EXPECT_EQ(samples[i].tokens, tokens[i]);
      EXPECT_GT(samples[i].seconds, 0);
      sum += samples[i].seconds;
    }
    if (kOnGpu) least = std::min({least, samples[0].seconds / 2, samples[2].seconds / 2});
    rounds.push_back({wall, sum, samples[1].seconds});
    samples.clear();
    clock.take(samples);
    EXPECT_TRUE(samples.empty());
  }
  // Four times the work of the others, and once three times between them.
  for (const auto& [wall, sum, four] : rounds) {
    EXPECT_GE(four, 4 * least);
    EXPECT_LE(sum, wall - 3 * least);
  }
}

struct Ran {
  int64_t tokens = 0;
  double seconds = 0;
};
// What rank 0 knows when a prompt of five tokens and 20 more, a step at a time, are done.
void run_alone(int stages, bool graphs, std::vector<Ran>& steps, std::vector<StageSample>& samples) {
  RankConfig config{.model = {.path = BOLIDE_SOURCE_DIR "/tests/golden/heads4_fp16_bin_sharded_bigscience"},
                    .device = kOnGpu ? Device::kCuda : Device::kCpu,
                    .pipeline_size = stages,
                    .threads = 1,
                    .max_batch_size = 2,
                    .max_kv_tokens = 256,
                    .graphs = graphs};
  config.model.path = BOLIDE_SOURCE_DIR "/tests/golden/heads4_fp16_bin_sharded_bigscience";
  if (kOnGpu) config.gpus.assign(static_cast<size_t>(stages), 0);
  std::vector<std::unique_ptr<Transport>> world = join_world(config);
  std::vector<std::function<void()>> others;
  for (int rank = 1; rank < stages; ++rank) {
    const auto transport =
        std::make_shared<std::unique_ptr<Transport>>(std::move(world[static_cast<size_t>(rank)]));
    others.push_back([config, transport] { serve_rank(load_rank(config, std::move(*transport)), config); });
  }
  const Followers followers(std::move(others));  // first: they end once rank 0's transport has
  RankParts parts = load_rank(config, std::move(world.front()));
  int64_t total = 0;
  const std::unique_ptr<Worker> made = make_worker(parts, config, total);
  Worker& worker = *made;
  Scheduler scheduler(
      {.pages = worker.cache().config().pages, .page_size = config.page_size, .stages = stages});
  RequestState request;
  request.tokens = {5, 6, 7, 8, 9};
  request.prompt_tokens = 5;
  request.max_new_tokens = 21;
  scheduler.add(request);
  StepResult result;
  while (request.made() < request.max_new_tokens) {
    const StepPlan& plan = scheduler.next_step();
    const auto start = std::chrono::steady_clock::now();
    worker.pipeline().announce(plan);
    launch_step(worker, plan, result);
    collect_step(worker, result);
    steps.push_back({.tokens = plan.batch.tokens(), .seconds = seconds_since(start)});
    samples.insert(samples.end(), result.samples.begin(), result.samples.end());
    for (const StageSample& sample : result.samples) scheduler.measured(sample);
    ASSERT_GE(result.ids.at(0), 0);
    request.tokens.push_back(result.ids[0]);
  }
  scheduler.remove(request);
  worker.pipeline().stop();
}

// Each stage tells of each step, a middle one perhaps not yet of the last; with graphs not of the first step
// of a kind, the prompt and the first row behind it, which come before a graph. One stage after the other
// works on a step, so that together they take no longer than it.
TEST_F(StageTimes, ComeToRankZeroFromEachStage) {
  for (int stages : {2, 3}) {
    for (bool graphs : {true, false}) {
      if (!kOnGpu && graphs) continue;
      SCOPED_TRACE(testing::Message() << stages << " stages, " << (graphs ? "graphs" : "no graphs"));
      std::vector<Ran> steps;
      std::vector<StageSample> samples;
      run_alone(stages, graphs, steps, samples);
      ASSERT_EQ(steps.size(), 21u);
      if (graphs) steps.erase(steps.begin(), steps.begin() + 2);
      std::vector<double> sums(steps.size(), 0.0);
      for (int stage = 0; stage < stages; ++stage) {
        size_t told = 0;
        for (const StageSample& sample : samples) {
          ASSERT_TRUE(sample.stage >= 0 && sample.stage < stages) << sample.stage;
          if (sample.stage != stage) continue;
          ASSERT_LT(told, steps.size()) << "stage " << stage;
          EXPECT_EQ(sample.tokens, steps[told].tokens) << "stage " << stage << " step " << told;
          EXPECT_GT(sample.seconds, 0) << "stage " << stage << " step " << told;
          sums[told++] += sample.seconds;
        }
        const bool middle = stage > 0 && stage < stages - 1;
        EXPECT_GE(told, steps.size() - (middle ? 1 : 0)) << "stage " << stage;
      }
      for (size_t i = 0; i < steps.size(); ++i) EXPECT_LE(sums[i], steps[i].seconds) << "step " << i;
    }
  }
}

}  // namespace
}  // namespace bolide
