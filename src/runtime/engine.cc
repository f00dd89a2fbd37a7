#include "runtime/engine.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>

#include "base/log.h"
#include "ops/roof.h"
#include "runtime/check.h"
#include "runtime/machine.h"

namespace bolide {
namespace {

// The fault being handled, as the one exception type that leaves the library.
std::exception_ptr current_fault() {
  try {
    throw;
  } catch (const Error&) {
    return std::current_exception();
  } catch (const std::bad_alloc&) {
    return std::make_exception_ptr(
        Error(ErrorCode::kResource, "out of memory in a step: lower max_batch_size or max_chunk_tokens"));
  } catch (const std::exception& e) {
    return std::make_exception_ptr(Error(ErrorCode::kInternal, fmt::format("a step failed: {}", e.what())));
  } catch (...) {
    return std::make_exception_ptr(Error(ErrorCode::kInternal, "a step failed for an unknown reason"));
  }
}

int64_t bytes_per_token(const ModelConfig& model, DType dtype) {
  return cache_config(model, {}, dtype, 1, 1).page_bytes();
}

int64_t cache_pages(const EngineConfig& config, const ModelConfig& model, DType dtype) {
  const int64_t tokens = config.max_kv_tokens > 0
                             ? config.max_kv_tokens
                             : default_kv_tokens(config.max_batch_size, config.page_size,
                                                 bytes_per_token(model, dtype), available_memory());
  // Page ids are 32-bit.
  return std::min<int64_t>(pages_for(tokens, config.page_size), std::numeric_limits<int32_t>::max());
}

Worker make_worker(EngineParts& parts, const EngineConfig& config) {
  const Dist dist;
  const ModelConfig model = parts.model->config();
  const int64_t pages = cache_pages(config, model, parts.data_type);
  const KvCacheConfig cache = cache_config(model, dist, parts.data_type, pages, config.page_size);
  return Worker(std::move(parts.model), cache, resolve_threads(config.threads), dist,
                parts.logit_block_bytes);
}

ModelInfo make_info(const EngineParts& parts, const ModelConfig& model, const EngineConfig& config,
                    const KvCacheConfig& cache) {
  ModelInfo info;
  info.architecture = model.architecture;
  info.device = config.device;
  info.data_type = name_of(parts.data_type);
  info.instruction_set = instruction_set(parts.data_type);
  info.vocab_size = model.vocab_size;
  info.hidden_size = model.hidden_size;
  info.layers = model.layers;
  info.heads = model.heads;
  info.kv_heads = model.kv_heads;
  info.head_size = model.head_size;
  info.inter_size = model.inter_size;
  info.bos_id = model.bos_id;
  info.eos_id = model.eos_id;
  info.weight_bytes = parts.weight_bytes;
  info.kv_bytes_per_token = bytes_per_token(model, parts.data_type);
  info.kv_capacity_tokens = cache.pages * cache.page_size;
  info.random_weights = parts.random_weights;
  info.load_seconds = parts.load_seconds;
  return info;
}

}  // namespace

LocalEngine::Task::Task(const Tokenizer* tokenizer, Request& request)
    : text(tokenizer, std::move(request.stop)),
      on_token(std::move(request.on_token)),
      ticket(std::make_shared<Ticket>()) {
  tagged = request.tag.has_value();
  state.sampling = request.sampling;
  state.tag = request.tag.value_or(0);
  state.max_new_tokens = request.max_new_tokens;
  state.return_logits = request.return_logits;
  state.return_log_probs = request.return_log_probs;
}

LocalEngine::LocalEngine(EngineParts parts, const EngineConfig& config)
    : tokenizer_(std::move(parts.tokenizer)),
      worker_(make_worker(parts, config)),
      model_(worker_.model().config()),
      info_(make_info(parts, model_, config, worker_.cache().config())),
      scheduler_({.max_batch_size = config.max_batch_size,
                  .max_chunk_tokens = config.max_chunk_tokens,
                  .pages = worker_.cache().config().pages,
                  .page_size = config.page_size}),
      free_pages_(scheduler_.pool().free_pages()),
      thread_([this] { run(); }) {}

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
  std::vector<int32_t> ids = check_request(request, model_, tokenizer_.get(), info_.kv_capacity_tokens);
  auto task = std::make_unique<Task>(tokenizer_.get(), request);
  task->state.prompt_tokens = static_cast<int64_t>(ids.size());
  task->state.tokens = std::move(ids);
  task->end_id = request.end_id.value_or(model_.eos_id);
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
      if (!task->tagged) task->state.tag = id;
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
  while (collect()) {
    try {
      step();
    } catch (...) {
      // Out of memory in the engine's own bookkeeping: nothing says whose fault it is.
      finish_all(FinishReason::kLength, current_fault());
    }
    publish();
  }
  finish_all(FinishReason::kCancelled, nullptr);
  publish();
}

// Waits for something to do and takes in what callers left. False when the engine is to stop.
bool LocalEngine::collect() {
  std::vector<std::unique_ptr<Task>> inbox;
  std::vector<uint64_t> cancels;
  bool stopping = false;
  {
    std::unique_lock lock(mutex_);
    work_.wait(lock, [&] { return stopping_ || !inbox_.empty() || !cancels_.empty() || !scheduler_.idle(); });
    inbox.swap(inbox_);
    cancels.swap(cancels_);
    step_observer_ = observer_;
    stopping = stopping_;
  }
  for (std::unique_ptr<Task>& task : inbox) {
    scheduler_.add(task->state);
    const uint64_t id = task->state.id;
    tasks_.emplace(id, std::move(task));
  }
  for (uint64_t id : cancels) {
    if (const auto found = tasks_.find(id); found != tasks_.end())
      finish(*found->second, FinishReason::kCancelled);
  }
  return !stopping;
}

void LocalEngine::step() {
  const auto start = std::chrono::steady_clock::now();
  const StepPlan& plan = scheduler_.next_step();
  if (plan.empty()) {
    BOLIDE_CHECK(scheduler_.idle(), "requests wait, nobody runs, and none was admitted");
    return;
  }
  try {
    run_step(worker_, plan, step_result_);
  } catch (...) {
    const std::exception_ptr fault = current_fault();
    for (RequestState* state : plan.sequences) finish(*tasks_.at(state->id), FinishReason::kLength, fault);
    return;
  }
  settle(plan);
  observe({.prefill_tokens = plan.prefill_tokens,
           .decode_rows = plan.decode_rows,
           .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()});
}

// Hands out what a step made.
void LocalEngine::settle(const StepPlan& plan) {
  for (size_t s = 0; s < plan.sequences.size(); ++s) {
    Task& task = *tasks_.at(plan.sequences[s]->id);
    if (step_result_.faults[s]) {
      try {
        std::rethrow_exception(std::move(step_result_.faults[s]));
      } catch (...) {
        finish(task, FinishReason::kLength, current_fault());
      }
    } else if (step_result_.ids[s] >= 0) {
      try {
        accept(task, step_result_.ids[s], step_result_.log_probs[s]);
      } catch (...) {  // the callback's own exception, handed on as it is
        finish(task, FinishReason::kLength, std::current_exception());
      }
    } else if (!task.state.in_prompt()) {
      finish(task, FinishReason::kLength);  // max_new_tokens is 0: the prompt's logits were all
    }
  }
}

// A new id of a task: into its result and text, to its callback, and to the question whether it was the last.
void LocalEngine::accept(Task& task, int32_t id, float log_prob) {
  if (id == task.end_id) {
    std::string rest = task.text.finish();
    const bool stopped = task.text.stopped();
    const bool wanted = rest.empty() || emit(task, -1, std::move(rest));
    return finish(task, !wanted   ? FinishReason::kCancelled
                        : stopped ? FinishReason::kStopString
                                  : FinishReason::kEndId);
  }
  task.state.tokens.push_back(id);
  task.result.output_ids.push_back(id);
  if (task.state.return_log_probs) task.result.log_probs.push_back(log_prob);
  std::string text = task.text.push(id);
  const bool full = task.state.made() == task.state.max_new_tokens;
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
  scheduler_.remove(task.state);
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

void LocalEngine::publish() {
  free_pages_ = scheduler_.pool().free_pages();
  if (finished_.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Task>& task : finished_) {
      Ticket& ticket = *task->ticket;
      ticket.result = std::move(task->result);
      ticket.fault = std::move(task->fault);
      if (ticket.cancelled) {  // cancel() said so, so it is so, even if the request came to its end meanwhile
        ticket.result.finish_reason = FinishReason::kCancelled;
        ticket.fault = nullptr;
      }
      ticket.done = true;
      ticket.ready.notify_all();
    }
  }
  finished_.clear();  // callbacks and what they hold die without the lock
}

}  // namespace bolide
