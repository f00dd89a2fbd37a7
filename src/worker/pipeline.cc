#include "worker/pipeline.h"

#include "base/error.h"

namespace bolide {
namespace {

// A visitor that names every array of a plan once, for both directions.
template <class Plan, class Visit>
void visit_plan(Plan& plan, const Visit& visit) {
  auto& batch = plan.batch;
  visit(batch.token_ids);
  visit(batch.positions);
  visit(batch.query_offsets);
  visit(batch.kv_lengths);
  visit(batch.prompt_lengths);
  visit(batch.slots);
  visit(batch.page_table);
  visit(batch.logit_rows);
  visit(batch.max_pages);
  visit(plan.uses);
  visit(plan.sample_rows);
  visit(plan.copies);
  visit(plan.want_log_probs);
  visit(plan.prefill_tokens);
  visit(plan.decode_rows);
}

// A fault as its code and text; no text for none.
std::pair<ErrorCode, std::string> describe(const std::exception_ptr& fault) {
  if (!fault) return {ErrorCode::kInternal, ""};
  try {
    std::rethrow_exception(fault);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::exception& error) {
    return {ErrorCode::kInternal, error.what()};
  }
}

void read_draws(MessageReader& reader, StepResult& result) {
  reader.get(result.ids);
  reader.get(result.log_probs);
  const size_t sequences = result.ids.size();
  result.faults.assign(sequences, nullptr);
  result.logits.resize(sequences);
  for (size_t s = 0; s < sequences; ++s) {
    const auto code = reader.get<ErrorCode>();
    const std::string text = reader.text();
    if (!text.empty()) result.faults[s] = std::make_exception_ptr(Error(code, text));
    reader.get(result.logits[s]);
  }
}

}  // namespace

void Pipeline::begin(MessageKind kind) {
  message_.clear();
  message_.add(kind);
}

void Pipeline::tell_all() {
  for (int to = 1; to < ranks_.size(); ++to) ranks_.world->send_message(to, Channel::kPlan, message_.data());
}

void Pipeline::announce(const StepPlan& plan) {
  if (ranks_.alone()) return;
  ranks_.world->at(fmt::format("step {}", ++step_));
  begin(MessageKind::kStep);
  visit_plan(plan, [&](const auto& field) { message_.add(field); });
  for (const RequestState* state : plan.sequences) {
    message_.add(state->id);
    message_.add(state->prompt_tokens);
  }
  tell_all();
}

void Pipeline::keep_alive() {
  if (ranks_.alone()) return;
  begin(MessageKind::kAlive);
  tell_all();
}

void Pipeline::stop() {
  if (ranks_.alone()) return;
  begin(MessageKind::kStop);
  tell_all();
  ranks_.world->agree_to_end();
}

void Pipeline::abort(const std::string& reason) noexcept { ranks_.abort(reason); }

std::optional<std::chrono::duration<double>> Pipeline::heartbeat() const {
  if (ranks_.alone()) return std::nullopt;
  return ranks_.world->timeout() / 4;
}

const StepPlan* Pipeline::next() {
  std::vector<std::byte> data;
  MessageKind kind = MessageKind::kAlive;
  do {
    data = ranks_.world->receive_message(0, Channel::kPlan);
    kind = MessageReader(data, "a plan").get<MessageKind>();
  } while (kind == MessageKind::kAlive);
  if (kind == MessageKind::kStop) {
    ranks_.world->agree_to_end();
    return nullptr;
  }
  ranks_.world->at(fmt::format("step {}", ++step_));
  MessageReader reader(data, "a plan");
  reader.get<MessageKind>();
  visit_plan(plan_, [&]<class T>(T& field) {
    if constexpr (std::is_trivially_copyable_v<T>) {
      field = reader.get<T>();
    } else {
      reader.get(field);
    }
  });
  states_.resize(plan_.batch.kv_lengths.size());
  plan_.sequences.clear();
  for (RequestState& state : states_) {
    state.id = reader.get<uint64_t>();
    state.prompt_tokens = reader.get<int64_t>();
    state.logits.clear();
    plan_.sequences.push_back(&state);
  }
  reader.end();
  return &plan_;
}

void Pipeline::receive_hidden(const Context& context, const View& hidden) {
  ranks_.stages->receive(context, hidden, ranks_.dist.pipeline_rank - 1);
}

void Pipeline::send_hidden(const Context& context, const View& hidden) {
  ranks_.stages->send(context, hidden, ranks_.dist.pipeline_rank + 1);
}

void Pipeline::send_result(const StepResult& result) {
  message_.clear();
  message_.add(result.samples);
  if (ranks_.dist.last_stage()) {
    message_.add(result.ids);
    message_.add(result.log_probs);
    for (size_t s = 0; s < result.ids.size(); ++s) {
      const auto [code, text] = describe(result.faults[s]);
      message_.add(code);
      message_.add(std::string_view(text));
      message_.add(result.sequences[s]->logits);
    }
  }
  ranks_.world->send_message(0, Channel::kResult, message_.data());
}

void Pipeline::receive_result(StepResult& result) {
  ranks_.world->at(fmt::format("step {}", ++results_));
  for (int stage = 1; stage < ranks_.dist.pipeline_size; ++stage) {
    const std::vector<std::byte> data =
        ranks_.world->receive_message(stage * ranks_.dist.tensor_size, Channel::kResult);
    MessageReader reader(data, "a step's result");
    std::vector<StageSample> samples;
    reader.get(samples);
    result.samples.insert(result.samples.end(), samples.begin(), samples.end());
    if (stage == ranks_.dist.pipeline_size - 1) read_draws(reader, result);
    reader.end();
  }
}

}  // namespace bolide
