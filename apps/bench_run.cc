#include "apps/bench_run.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>

namespace bolide::apps {
namespace {

constexpr int64_t kGateTokens = 2;  // prompt of the gate request

// Ids spread over the vocabulary, the same ones each run.
std::vector<int32_t> made_up_ids(int64_t count, int64_t vocab, uint64_t seed) {
  std::vector<int32_t> ids;
  uint64_t state = seed + 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    ids.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab)));
  }
  return ids;
}

Request made_up_request(const ModelInfo& info, int64_t input_len, int64_t output_len, uint64_t seed) {
  Request request;
  request.input_ids = made_up_ids(input_len, info.vocab_size, seed);
  request.max_new_tokens = static_cast<int32_t>(output_len);
  request.sampling.top_k = 1;
  request.end_ids.emplace();
  return request;
}

// Holds the engine's thread inside a token callback until it is opened, so that all requests of a run can be
// queued before the first step: otherwise the first of them would prefill alone.
class Gate {
 public:
  bool pass() {
    std::unique_lock lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    return true;
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }
  // The request ended without coming here.
  void give_up() {
    std::lock_guard lock(mutex_);
    reached_ = true;
    changed_.notify_all();
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false, open_ = false;
};

// Opens on every way out: a gate left shut would hold the engine's destructor for ever.
struct GateOpener {
  Gate& gate;
  ~GateOpener() { gate.open(); }
};

double head_parameters(const ModelInfo& info) { return static_cast<double>(info.head_parameters); }

double layer_parameters(const ModelInfo& info) {
  return static_cast<double>(info.gemm_parameters) - head_parameters(info);
}

double matrix_bytes(const ModelInfo& info) { return static_cast<double>(info.gemm_bytes); }

// Scores and their product with the values, for `pairs` of a query with a key.
double attention_flops(const ModelInfo& info, double pairs) {
  return 4.0 * static_cast<double>(info.layers * info.heads * info.head_size) * pairs;
}

}  // namespace

struct BenchRunner::Recorder {
  std::mutex mutex;
  std::vector<StepInfo> steps;
};

BenchRunner::BenchRunner(Engine& engine) : engine_(engine), recorder_(std::make_shared<Recorder>()) {
  engine_.set_step_observer([recorder = recorder_](const StepInfo& step) {
    std::lock_guard lock(recorder->mutex);
    recorder->steps.push_back(step);
  });
}

BenchRunner::~BenchRunner() = default;

RunTimes BenchRunner::run(int64_t batch, int64_t input_len, int64_t output_len) {
  {
    std::lock_guard lock(recorder_->mutex);
    recorder_->steps.clear();
  }
  // Shared with the callback: it outlives this frame should a submit throw.
  const auto gate = std::make_shared<Gate>();
  std::vector<uint64_t> ids;
  RunTimes times;
  std::future<void> held;  // waits for the request that holds the engine, and for its fault should it fail
  {
    GateOpener opener{*gate};
    Request first = made_up_request(engine_.info(), kGateTokens, 1, 0);
    first.on_token = [gate](const StreamEvent&) { return gate->pass(); };
    held = std::async(std::launch::async, [this, gate, id = engine_.submit(std::move(first))] {
      struct GiveUp {
        Gate& gate;
        ~GiveUp() { gate.give_up(); }
      } give_up{*gate};
      engine_.wait(id);
    });
    gate->wait_until_reached();
    for (int64_t i = 0; i < batch; ++i) {
      ids.push_back(engine_.submit(
          made_up_request(engine_.info(), input_len, output_len, static_cast<uint64_t>(i) + 1)));
    }
  }
  const auto start = std::chrono::steady_clock::now();
  held.get();
  for (uint64_t id : ids) engine_.wait(id);
  times.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  std::lock_guard lock(recorder_->mutex);
  std::vector<StepInfo>& steps = recorder_->steps;
  if (!steps.empty()) steps.erase(steps.begin());  // the gate's own
  const auto last_prefill = std::find_if(steps.rbegin(), steps.rend(),
                                         [](const StepInfo& step) { return step.prefill_tokens > 0; });
  auto step = steps.begin();
  for (; step != last_prefill.base(); ++step) times.prefill_seconds += step->seconds;
  // In a pipeline it takes several steps until every sequence has one more id.
  StepInfo round;
  for (; step != steps.end(); ++step) {
    round.decode_rows += step->decode_rows;
    round.seconds += step->seconds;
    if (round.decode_rows < batch) continue;
    times.decode_seconds.push_back(round.seconds);
    round = {};
  }
  return times;
}

Work prefill_work(const ModelInfo& info, int64_t batch, int64_t input_len) {
  const auto sequences = static_cast<double>(batch);
  const auto tokens = static_cast<double>(batch * input_len);
  const double pairs = tokens * static_cast<double>(input_len + 1) / 2;
  return {.bytes = matrix_bytes(info) + tokens * static_cast<double>(info.kv_bytes_per_token),
          .flops = 2 * layer_parameters(info) * tokens + 2 * head_parameters(info) * sequences +
                   attention_flops(info, pairs)};
}

Work decode_work(const ModelInfo& info, int64_t batch, int64_t input_len, int64_t output_len) {
  const auto sequences = static_cast<double>(batch);
  const double length = static_cast<double>(input_len) + static_cast<double>(output_len) / 2;
  return {.bytes = matrix_bytes(info) + sequences * length * static_cast<double>(info.kv_bytes_per_token),
          .flops = 2 * (layer_parameters(info) + head_parameters(info)) * sequences +
                   attention_flops(info, sequences * length)};
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace bolide::apps
