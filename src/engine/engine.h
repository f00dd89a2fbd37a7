#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "bolide/engine.h"
#include "engine/output_text.h"
#include "sched/scheduler.h"
#include "worker/rank.h"
#include "worker/step.h"

namespace bolide {

// What an engine is made of, once loaded: rank 0, and what no other rank has.
struct EngineParts : RankParts {
  std::unique_ptr<Followers> followers;  // the other ranks of this process; may be null
  std::unique_ptr<Tokenizer> tokenizer;  // may be null
  // Plan and launch the next step before the ids of this one are known: the device never waits for the host.
  // Only where launching is asynchronous does it gain anything.
  bool run_ahead = false;
  int64_t micro_batch_tokens = 0;  // of a pipeline's prompts; 0: as steps are measured to take least
};

// The engine, on rank 0. Callers' threads check requests and put them into `inbox_`; one background thread
// owns everything else (tasks, scheduler, worker) and needs no lock while it computes.
class LocalEngine final : public Engine {
 public:
  LocalEngine(EngineParts parts, const RankConfig& config);
  ~LocalEngine() override;

  uint64_t submit(Request request) override;
  Result wait(uint64_t request) override;
  bool cancel(uint64_t request) override;
  const ModelInfo& info() const override { return info_; }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  void set_step_observer(std::function<void(const StepInfo&)> observer) override;

  // Pages of the cache that nobody holds, as of the last step; all of them once every request is done.
  int64_t free_pages() const { return free_pages_.load(); }

 private:
  // What callers and the engine's thread share of a request; under mutex_.
  struct Ticket {
    Result result;
    std::exception_ptr fault;
    bool done = false, cancelled = false, claimed = false;
    std::condition_variable ready;
  };
  struct Task {
    Task(const Tokenizer* tokenizer, Request& request);
    RequestState state;
    OutputText text;
    bool retired = false;  // its last step is on its way: it has left the scheduler
    std::vector<int32_t> end_ids;
    std::function<bool(const StreamEvent&)> on_token;
    Result result;
    std::exception_ptr fault;
    std::shared_ptr<Ticket> ticket;
  };

  std::vector<uint64_t> submit_all(std::vector<Request> requests) override;
  std::unique_ptr<Task> make_task(Request& request) const;
  std::vector<uint64_t> enqueue(std::vector<std::unique_ptr<Task>> tasks);

  // A step that was launched, and for whom. The requests may end before it is settled.
  struct InFlightStep {
    struct Row {
      uint64_t request = 0;
      int64_t position = -1;       // of the token drawn for it; -1: none
      bool prompt_is_all = false;  // its prompt was the last that it wanted to run
    };
    std::vector<Row> rows;  // [S]
    StepInfo info;
    std::chrono::steady_clock::time_point launched;
    StepResult result;
  };

  // The background thread.
  void run();
  bool collect();
  void take_in(std::vector<std::unique_ptr<Task>>& inbox);
  void keep_ranks();
  void step();
  void launch(const StepPlan& plan);
  void settle_oldest();
  void settle(InFlightStep& flight);
  void take_logits(Task& task, std::vector<float>&& rows);
  void accept(Task& task, int32_t id, float log_prob, int64_t position);
  bool emit(Task& task, int32_t id, std::string text);
  void finish(Task& task, FinishReason reason, std::exception_ptr fault = nullptr);
  void finish_all(FinishReason reason, const std::exception_ptr& fault);
  void lose_ranks(const std::exception_ptr& fault);
  void end_ranks();
  void observe(const StepInfo& info);
  static void tell(Task& task);
  void publish();

  std::unique_ptr<Followers> followers_;  // first: their threads end once rank 0's transport has
  std::unique_ptr<Tokenizer> tokenizer_;
  int64_t total_weight_bytes_ = 0;
  RankParts rank_;  // the worker stands on it
  std::unique_ptr<Worker> made_;
  Worker& worker_;
  ModelShape model_;
  ModelInfo info_;

  // The engine's thread only.
  Scheduler scheduler_;
  size_t ahead_;                         // steps that stay on their way when the next is planned
  std::vector<InFlightStep> flights_;    // [ahead + 1]
  std::deque<InFlightStep*> in_flight_;  // launched and not settled, oldest first
  std::exception_ptr lost_;              // why the other ranks are gone; nothing runs any more
  std::chrono::steady_clock::time_point settled_;
  std::unordered_map<uint64_t, std::unique_ptr<Task>> tasks_;
  std::vector<std::unique_ptr<Task>> finished_;  // done in this step, not yet published
  std::shared_ptr<const std::function<void(const StepInfo&)>> step_observer_;
  std::atomic<int64_t> free_pages_;

  std::mutex mutex_;
  std::condition_variable work_;      // the engine's thread has something to do
  std::condition_variable no_waits_;  // the last wait() has left
  // Under mutex_.
  std::unordered_map<uint64_t, std::shared_ptr<Ticket>> tickets_;
  std::vector<std::unique_ptr<Task>> inbox_;
  std::vector<uint64_t> cancels_;
  std::shared_ptr<const std::function<void(const StepInfo&)>> observer_;
  uint64_t next_id_ = 0;
  int64_t waits_ = 0;
  bool stopping_ = false;

  std::thread thread_;  // last: starts when all else stands
};

}  // namespace bolide
