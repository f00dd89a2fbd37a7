#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>
#include <utility>

#include "base/log.h"
#include "base/threads.h"
#include "engine/check_request.h"
#include "ops/roof.h"

namespace bolide {
namespace {

// Made while there is memory for it.
const std::exception_ptr& out_of_memory() {
  static const std::exception_ptr fault = std::make_exception_ptr(
      Error(ErrorCode::kResource, "out of memory in a step: lower max_batch_size or max_chunk_tokens"));
  return fault;
}

// The fault being handled, as the one exception type that leaves the library.
std::exception_ptr current_fault() {
  try {
    throw;
  } catch (const Error&) {
    return std::current_exception();
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::exception& e) {
    return std::make_exception_ptr(Error(ErrorCode::kInternal, fmt::format("a step failed: {}", e.what())));
  } catch (...) {
    return std::make_exception_ptr(Error(ErrorCode::kInternal, "a step failed for an unknown reason"));
  }
}

ModelInfo make_info(const RankParts& parts, Worker& worker, const RankConfig& config,
                    int64_t total_weight_bytes) {
  const ModelShape& model = worker.model().shape();
  const KvCacheConfig& cache = worker.cache().config();
  ModelInfo info;
  static_cast<ModelShape&>(info) = model;
  info.device = name_of(config.device);
  info.data_type = name_of(parts.data_type);
  info.checkpoint_data_type = name_of(parts.checkpoint_dtype);
  info.weight_scheme = config.model.scheme->name;
  info.instruction_set =
      cache.device == Device::kCuda ? cuda_properties().name : instruction_set(parts.data_type);
  info.weight_bytes = total_weight_bytes;
  info.gemm_parameters = parts.gemm_parameters;
  info.gemm_bytes = parts.gemm_bytes;
  info.head_parameters = parts.head_parameters;
  info.kv_bytes_per_token = cache_config(worker.model(), {}, parts.data_type, 1, 1).page_bytes();
  info.tensor_para_size = worker.dist().tensor_size;
  info.pipeline_para_size = worker.dist().pipeline_size;
  info.threads = worker.config().threads;
  if (!worker.ranks().alone()) info.transport = worker.ranks().world->name();
  info.kv_capacity_tokens = cache.pages * cache.page_size;
  info.cache_bytes = (cache.pages + (cache.spare_page ? 1 : 0)) * cache.page_bytes();
  info.step_bytes = worker.step_bytes();
  info.random_weights = parts.random_weights;
  info.tuned_gemms = parts.tuned_gemms;
  info.load_seconds = parts.load_seconds;
  return info;
}

}  // namespace

LocalEngine::Task::Task(const Tokenizer* tokenizer, Request& request)
    : text(tokenizer, std::move(request.stop)),
      on_token(std::move(request.on_token)),
      ticket(std::make_shared<Ticket>()) {
  state.sampling = request.sampling;
  state.tag = request.tag.value_or(0);
  state.max_new_tokens = request.max_new_tokens;
  state.return_logits = request.return_logits;
  state.return_log_probs = request.return_log_probs;
}

LocalEngine::LocalEngine(EngineParts parts, const RankConfig& config)
    : followers_(std::move(parts.followers)),
      tokenizer_(std::move(parts.tokenizer)),
      rank_(std::move(parts)),
      made_(make_worker(rank_, config, total_weight_bytes_)),
      worker_(*made_),
      model_(worker_.model().shape()),
      info_(make_info(rank_, worker_, config, total_weight_bytes_)),
      scheduler_({.max_batch_size = config.max_batch_size,
                  .max_chunk_tokens = config.chunk_tokens,
                  .pages = worker_.cache().config().pages,
                  .page_size = config.page_size,
                  .window = model_.cache_window(),
                  .stages = worker_.dist().pipeline_size,
                  .micro_batch_tokens = parts.micro_batch_tokens}),
      // With a pipeline a step for each stage, so that rank 0, which is one of them, need not wait for the
      // oldest before it begins the next.
      ahead_(worker_.dist().pipeline_size > 1 ? static_cast<size_t>(worker_.dist().pipeline_size)
             : parts.run_ahead                ? 1
                                              : 0),
      flights_(ahead_ + 1),
      free_pages_(scheduler_.pool().free_pages()),
      thread_(start_thread([this] { run(); })) {}

LocalEngine::~LocalEngine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
  // Threads in wait() have their results now, but still stand on this object's mutex.
  std::unique_lock lock(mutex_);
  no_waits_.wait(lock, [&] { return waits_ == 0; });
}

std::unique_ptr<LocalEngine::Task> LocalEngine::make_task(Request& request) const {
  std::vector<int32_t> ids = check_request(request, model_, tokenizer_.get(), scheduler_.config());
  auto task = std::make_unique<Task>(tokenizer_.get(), request);
  task->state.prompt_tokens = static_cast<int64_t>(ids.size());
  task->state.tokens = std::move(ids);
  task->end_ids = request.end_ids ? std::move(*request.end_ids) : model_.end_ids;
  task->result.prompt_tokens = task->state.prompt_tokens;
  return task;
}

std::vector<uint64_t> LocalEngine::enqueue(std::vector<std::unique_ptr<Task>> tasks) {
  std::vector<uint64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    for (std::unique_ptr<Task>& task : tasks) {
      const uint64_t id = next_id_++;
      task->state.id = id;
      task->result.request = id;
      tickets_.emplace(id, task->ticket);
      inbox_.push_back(std::move(task));
      ids.push_back(id);
    }
  }
  work_.notify_one();
  return ids;
}

uint64_t LocalEngine::submit(Request request) {
  std::vector<std::unique_ptr<Task>> tasks;
  tasks.push_back(make_task(request));
  return enqueue(std::move(tasks)).front();
}

std::vector<uint64_t> LocalEngine::submit_all(std::vector<Request> requests) {
  std::vector<std::unique_ptr<Task>> tasks;
  for (size_t i = 0; i < requests.size(); ++i) {
    try {
      tasks.push_back(make_task(requests[i]));
    } catch (const Error& error) {
      if (requests.size() == 1) throw;
      fail(error.code(), "request {}: {}", i, error.what());
    }
  }
  return enqueue(std::move(tasks));
}

Result LocalEngine::wait(uint64_t request) {
  if (std::this_thread::get_id() == thread_.get_id())
    fail(ErrorCode::kUsage, "wait() was called from a callback of the engine: it would wait for itself");
  std::unique_lock lock(mutex_);
  const auto found = tickets_.find(request);
  if (found == tickets_.end() || found->second->claimed) {
    fail(ErrorCode::kUsage, "request {} is unknown: it was never submitted, or was waited for already",
         request);
  }
  const std::shared_ptr<Ticket> ticket = found->second;
  ticket->claimed = true;
  ++waits_;
  ticket->ready.wait(lock, [&] { return ticket->done; });
  tickets_.erase(request);
  if (--waits_ == 0) no_waits_.notify_all();
  Result result = std::move(ticket->result);
  std::exception_ptr fault = std::move(ticket->fault);
  // Unlocking is the last use of the engine: once waits_ is 0 it may be destroyed.
  lock.unlock();
  if (fault) std::rethrow_exception(std::move(fault));
  return result;
}

bool LocalEngine::cancel(uint64_t request) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = tickets_.find(request);
    if (found == tickets_.end() || found->second->done) return false;
    found->second->cancelled = true;
    cancels_.push_back(request);
  }
  work_.notify_one();
  return true;
}

void LocalEngine::set_step_observer(std::function<void(const StepInfo&)> observer) {
  const std::lock_guard lock(mutex_);
  observer_ =
      observer ? std::make_shared<const std::function<void(const StepInfo&)>>(std::move(observer)) : nullptr;
}

void LocalEngine::run() {
  out_of_memory();
  if (worker_.context().device == Device::kCuda) use_cuda_device(worker_.context().device_index);
  while (collect()) {
    try {
      if (lost_) {
        finish_all(FinishReason::kLength, lost_);
      } else {
        step();
      }
    } catch (...) {
      // Out of memory in the engine's own bookkeeping: nothing says whose fault it is. With several ranks a
      // fault of a step, too: they no longer agree on what has run.
      if (worker_.ranks().alone()) {
        finish_all(FinishReason::kLength, current_fault());
      } else {
        lose_ranks(current_fault());
      }
    }
    publish();
  }
  end_ranks();
  finish_all(FinishReason::kCancelled, nullptr);
  publish();
}

// One rank is gone, or has failed: then all end, and so does every request.
void LocalEngine::lose_ranks(const std::exception_ptr& fault) {
  lost_ = worker_.ranks().first_fault(fault);
  in_flight_.clear();
  // First of all: telling the others takes a moment, and a caller who cancels meanwhile would never learn
  // why.
  finish_all(FinishReason::kLength, lost_);
  publish();
  try {
    std::rethrow_exception(lost_);
  } catch (const std::exception& error) {
    worker_.pipeline().abort(error.what());
  }
}

// Steps on their way have results that nobody will read, but that rank 0 must take in: the others end only
// once they have made them.
void LocalEngine::end_ranks() {
  if (lost_ || worker_.ranks().alone()) return;
  try {
    for (; !in_flight_.empty(); in_flight_.pop_front()) collect_step(worker_, in_flight_.front()->result);
    worker_.pipeline().stop();
  } catch (const std::exception& error) {
    log::error("the ranks did not end as they should: {}", error.what());
  }
}

// Waits for something to do and takes in what callers left. False when the engine is to stop.
bool LocalEngine::collect() {
  std::vector<std::unique_ptr<Task>> inbox;
  std::vector<uint64_t> cancels;
  bool stopping = false;
  {
    std::unique_lock lock(mutex_);
    const auto woken = [&] {
      return stopping_ || !inbox_.empty() || !cancels_.empty() || !scheduler_.idle() || !in_flight_.empty();
    };
    // While there is nothing to do the other ranks are told that rank 0 lives.
    const std::optional<std::chrono::duration<double>> beat = worker_.pipeline().heartbeat();
    while (!woken()) {
      if (!beat || lost_) {
        work_.wait(lock);
      } else if (work_.wait_for(lock, *beat) == std::cv_status::timeout) {
        lock.unlock();
        keep_ranks();
        lock.lock();
      }
    }
    inbox.swap(inbox_);
    cancels.swap(cancels_);
    step_observer_ = observer_;
    stopping = stopping_;
  }
  take_in(inbox);
  for (uint64_t id : cancels) {
    if (const auto found = tasks_.find(id); found != tasks_.end())
      finish(*found->second, FinishReason::kCancelled);
  }
  return !stopping;
}

// Those that there is no memory for end here.
void LocalEngine::take_in(std::vector<std::unique_ptr<Task>>& inbox) {
  const size_t most = tasks_.size() + inbox.size();
  for (std::unique_ptr<Task>& task : inbox) {
    const uint64_t id = task->state.id;
    try {
      finished_.reserve(most);  // so that finish() needs no memory, even where there is none
      std::unique_ptr<Task>& place = tasks_[id];
      scheduler_.add(task->state);
      place = std::move(task);
    } catch (...) {
      tasks_.erase(id);
      task->fault = current_fault();
      const std::lock_guard lock(mutex_);
      tell(*task);
    }
  }
}

void LocalEngine::keep_ranks() {
  try {
    worker_.pipeline().keep_alive();
  } catch (...) {
    lose_ranks(current_fault());
  }
}

void LocalEngine::step() {
  const StepPlan& plan = scheduler_.next_step();
  const bool was_idle = in_flight_.empty();
  if (!plan.empty()) launch(plan);
  while (in_flight_.size() > ahead_ || (plan.empty() && !in_flight_.empty())) {
    settle_oldest();
    if (plan.empty()) break;
  }
  BOLIDE_CHECK(!plan.empty() || !was_idle || scheduler_.idle(),
               "requests wait, nobody runs, and none was admitted");
}

// Puts a plan on its way and gives its sequences the tokens that it will draw.
void LocalEngine::launch(const StepPlan& plan) {
  const auto free = std::find_if(flights_.begin(), flights_.end(), [&](const InFlightStep& flight) {
    return std::find(in_flight_.begin(), in_flight_.end(), &flight) == in_flight_.end();
  });
  BOLIDE_CHECK(free != flights_.end());
  InFlightStep& flight = *free;
  flight.launched = std::chrono::steady_clock::now();
  flight.info = {.prefill_tokens = plan.prefill_tokens, .decode_rows = plan.decode_rows, .seconds = 0};
  try {
    worker_.pipeline().announce(plan);
    launch_step(worker_, plan, flight.result);
  } catch (...) {
    if (!worker_.ranks().alone()) throw;
    const std::exception_ptr fault = current_fault();
    for (RequestState* state : plan.sequences) finish(*tasks_.at(state->id), FinishReason::kLength, fault);
    return;
  }
  flight.rows.clear();
  for (const RequestState* state : plan.sequences)
    flight.rows.push_back({.request = state->id, .prompt_is_all = !state->in_prompt()});
  int32_t draw = 0;
  for (const LogitUse& use : plan.uses) {
    if (!use.sample) continue;
    RequestState& state = *plan.sequences[use.sequence];
    flight.rows[use.sequence].position = static_cast<int64_t>(state.tokens.size());
    state.tokens.push_back(-1 - draw++);
  }
  // Whoever needs no further step leaves now: its place and its pages may serve the next step, which runs
  // after this one.
  for (RequestState* state : plan.sequences) {
    if (state->in_prompt() || state->made() < state->max_new_tokens) continue;
    tasks_.at(state->id)->retired = true;
    scheduler_.remove(*state);
  }
  in_flight_.push_back(&flight);
}

void LocalEngine::settle_oldest() {
  InFlightStep& flight = *in_flight_.front();
  in_flight_.pop_front();
  settle(flight);
}

// Hands out what a step made.
void LocalEngine::settle(InFlightStep& flight) {
  StepResult& result = flight.result;
  std::exception_ptr fault;
  try {
    collect_step(worker_, result);
  } catch (...) {
    if (!worker_.ranks().alone()) throw;
    fault = current_fault();
  }
  for (size_t s = 0; s < flight.rows.size(); ++s) {
    const InFlightStep::Row& row = flight.rows[s];
    const auto found = tasks_.find(row.request);
    if (found == tasks_.end()) continue;  // ended by an earlier step, or cancelled
    Task& task = *found->second;
    if (!result.logits.empty()) take_logits(task, std::move(result.logits[s]));
    if (fault) {
      finish(task, FinishReason::kLength, fault);
    } else if (result.faults[s]) {
      try {
        std::rethrow_exception(std::move(result.faults[s]));
      } catch (...) {
        finish(task, FinishReason::kLength, current_fault());
      }
    } else if (row.position >= 0) {
      try {
        accept(task, result.ids[s], result.log_probs[s], row.position);
      } catch (...) {  // the callback's own exception, handed on as it is
        finish(task, FinishReason::kLength, std::current_exception());
      }
    } else if (row.prompt_is_all) {
      finish(task, FinishReason::kLength);  // max_new_tokens is 0: the prompt's logits were all
    }
  }
  if (fault) return;
  // Steps follow each other without a gap, so one begins when the one before has ended.
  const auto now = std::chrono::steady_clock::now();
  flight.info.seconds = std::chrono::duration<double>(now - std::max(flight.launched, settled_)).count();
  settled_ = now;
  for (const StageSample& sample : result.samples) scheduler_.measured(sample);
  observe(flight.info);
}

// Rows of a prompt's logits that another stage made.
void LocalEngine::take_logits(Task& task, std::vector<float>&& rows) {
  std::vector<float>& all = task.state.logits;
  if (all.empty()) {
    all = std::move(rows);
  } else {
    all.insert(all.end(), rows.begin(), rows.end());
  }
}

// A new id of a task: into its result and text, to its callback, and to the question whether it was the last.
void LocalEngine::accept(Task& task, int32_t id, float log_prob, int64_t position) {
  if (std::find(task.end_ids.begin(), task.end_ids.end(), id) != task.end_ids.end()) {
    std::string rest = task.text.finish();
    const bool stopped = task.text.stopped();
    const bool wanted = rest.empty() || emit(task, -1, std::move(rest));
    return finish(task, !wanted   ? FinishReason::kCancelled
                        : stopped ? FinishReason::kStopString
                                  : FinishReason::kEndId);
  }
  task.state.tokens[static_cast<size_t>(position)] = id;
  task.result.output_ids.push_back(id);
  if (task.state.return_log_probs) task.result.log_probs.push_back(log_prob);
  std::string text = task.text.push(id);
  const bool full = position + 1 - task.state.prompt_tokens == task.state.max_new_tokens;
  if (full) text += task.text.finish();
  if (!emit(task, id, std::move(text))) return finish(task, FinishReason::kCancelled);
  if (task.text.stopped()) return finish(task, FinishReason::kStopString);
  if (full) finish(task, FinishReason::kLength);
}

// False when the callback wants no more.
bool LocalEngine::emit(Task& task, int32_t id, std::string text) {
  task.result.text += text;
  return !task.on_token || task.on_token({.request = task.state.id, .id = id, .text = std::move(text)});
}

// Ends a task: frees its pages and its place in the batch, and sets it aside for publish().
void LocalEngine::finish(Task& task, FinishReason reason, std::exception_ptr fault) {
  if (!task.retired) scheduler_.remove(task.state);
  task.result.finish_reason = reason;
  task.result.logits = std::move(task.state.logits);
  task.fault = std::move(fault);
  if (!task.fault && reason == FinishReason::kCancelled) task.result.text += task.text.finish();
  const auto found = tasks_.find(task.state.id);
  finished_.push_back(std::move(found->second));
  tasks_.erase(found);
}

void LocalEngine::finish_all(FinishReason reason, const std::exception_ptr& fault) {
  while (!tasks_.empty()) finish(*tasks_.begin()->second, reason, fault);
}

// Before publish(), so that a caller whose wait() returns knows that the observer saw every step.
void LocalEngine::observe(const StepInfo& info) {
  if (!step_observer_) return;
  try {
    (*step_observer_)(info);
  } catch (const std::exception& e) {
    log::error("the step observer failed, and is not called again: {}", e.what());
    const std::lock_guard lock(mutex_);
    if (observer_ == step_observer_) observer_ = nullptr;
  }
}

// To whoever waits for the task's result; under mutex_.
void LocalEngine::tell(Task& task) {
  Ticket& ticket = *task.ticket;
  ticket.result = std::move(task.result);
  ticket.fault = std::move(task.fault);
  if (ticket.cancelled) {  // cancel() said so, so it is so, even if the request came to its end meanwhile
    ticket.result.finish_reason = FinishReason::kCancelled;
    ticket.fault = nullptr;
  }
  ticket.done = true;
  ticket.ready.notify_all();
}

void LocalEngine::publish() {
  free_pages_ = scheduler_.pool().free_pages();
  if (finished_.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Task>& task : finished_) tell(*task);
  }
  finished_.clear();  // callbacks and what they hold die without the lock
}

}  // namespace bolide
