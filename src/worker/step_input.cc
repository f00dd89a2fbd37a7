#include "worker/step_input.h"

#include <algorithm>

namespace bolide {
namespace {

// Lays arrays out one after the other, on the host for the copy and with the addresses they will have. A
// first pass without memory counts the bytes.
class Packer {
 public:
  Packer(std::byte* host, const std::byte* device) : host_(host), device_(device) {}
  // `from`, and then `fill(i)` up to `count` elements.
  template <class T, class Fill>
  void put(const std::vector<T>& from, int64_t count, const Fill& fill, std::span<const T>& placed) {
    const size_t begin = bytes_;
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
    if (!host_) return;
    T* to = reinterpret_cast<T*>(host_ + begin);
    std::copy(from.begin(), from.end(), to);
    for (int64_t i = static_cast<int64_t>(from.size()); i < count; ++i) to[i] = fill(i);
    placed = {reinterpret_cast<const T*>(device_ + begin), static_cast<size_t>(count)};
  }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kAlign = 16;
  std::byte* host_;
  const std::byte* device_;
  size_t bytes_ = 0;
};

StepInput::Arrays pack(const StepPlan& plan, const Padding& to, Packer& packer) {
  const Batch& batch = plan.batch;
  const int64_t sequences = batch.sequences(), tokens = batch.tokens();
  const auto zero = [](int64_t) { return 0; };
  // Where pad sequence i ends, and how many tokens it has.
  const auto end_of = [&](int64_t i) {
    return static_cast<int32_t>(i + 1 == to.sequences ? to.tokens : tokens + i + 1 - sequences);
  };
  const auto length_of = [&](int64_t i) {
    return i == sequences ? end_of(i) - tokens : end_of(i) - end_of(i - 1);
  };

  StepInput::Arrays arrays{.batch = host_view(batch), .sample_rows = {}};
  BatchView& view = arrays.batch;
  view.max_pages = to.max_pages;
  view.max_query = std::max(view.max_query, to.max_query);
  view.max_kv_length = std::max(view.max_kv_length, to.max_kv_length);
  packer.put(
      batch.slots, to.tokens, [&](int64_t) { return to.spare_slot; }, view.slots);
  packer.put(
      plan.sample_rows, to.draws, [](int64_t) { return SampleRow{}; }, arrays.sample_rows);
  packer.put(batch.token_ids, to.tokens, zero, view.token_ids);
  packer.put(batch.positions, to.tokens, zero, view.positions);
  packer.put(
      batch.query_offsets, to.sequences + 1, [&](int64_t i) { return end_of(i - 1); }, view.query_offsets);
  packer.put(
      batch.kv_lengths, to.sequences, [&](int64_t i) { return static_cast<int32_t>(length_of(i)); },
      view.kv_lengths);
  packer.put(
      batch.prompt_lengths, to.sequences, [](int64_t) { return 1; }, view.prompt_lengths);
  const int64_t wanted = static_cast<int64_t>(batch.logit_rows.size() - plan.sample_rows.size()) + to.draws;
  packer.put(
      batch.logit_rows, wanted, [&](int64_t) { return static_cast<int32_t>(to.tokens - 1); },
      view.logit_rows);
  const auto page = [&](int64_t i) {
    const int64_t sequence = i / to.max_pages, p = i % to.max_pages;
    const bool known = sequence < sequences && p < batch.max_pages;
    return known ? batch.page_table[sequence * batch.max_pages + p] : to.spare_page;
  };
  packer.put(std::vector<int32_t>(), to.sequences * to.max_pages, page, view.page_table);
  return arrays;
}

}  // namespace

StepInput::StepInput(Device device, std::optional<std::chrono::duration<double>> limit)
    : device_(device), turns_{Turn(device, limit), Turn(device, limit)} {}

void StepInput::grow(size_t bytes) {
  if (bytes <= capacity_) return;
  capacity_ = std::max(bytes, 2 * capacity_);
  for (Turn& turn : turns_) {
    turn.sent.wait();
    turn.host = allocate_pinned(capacity_);
  }
  memory_ = allocate_device(capacity_);
  ++generation_;
}

StepInput::Arrays StepInput::upload(const Context& context, const StepPlan& plan, const Padding* padding) {
  if (device_ == Device::kCpu) return {.batch = host_view(plan.batch), .sample_rows = plan.sample_rows};
  const Padding same = {.sequences = plan.batch.sequences(),
                        .tokens = plan.batch.tokens(),
                        .draws = static_cast<int64_t>(plan.sample_rows.size()),
                        .max_pages = plan.batch.max_pages};
  const Padding& to = padding ? *padding : same;
  Packer count(nullptr, nullptr);
  pack(plan, to, count);
  grow(count.bytes());
  Turn& turn = turns_[turn_];
  turn_ = 1 - turn_;
  turn.sent.wait();
  Packer packer(turn.host.get(), memory_.get());
  const Arrays arrays = pack(plan, to, packer);
  copy_to_device(context, memory_.get(), turn.host.get(), packer.bytes());
  turn.sent.record(context);
  return arrays;
}

}  // namespace bolide
