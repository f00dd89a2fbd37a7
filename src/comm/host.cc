#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "comm/communicator.h"

namespace bolide {
namespace {

// All ranks send to all, so that a sum needs one exchange of whole tensors when they are small (latency), and
// two of parts when they are not (bytes). Either way each element is summed in rank order by whoever sums it.
constexpr int64_t kOneExchangeBytes = 32 << 10;

class HostCommunicator final : public Communicator {
 public:
  HostCommunicator(Transport& world, std::span<const int> group, Channel channel)
      : world_(world), group_(group.begin(), group.end()), channel_(channel) {
    const auto found = std::find(group_.begin(), group_.end(), world.rank());
    BOLIDE_CHECK(found != group_.end(), "rank {} is not in its group", world.rank());
    rank_ = static_cast<int>(found - group_.begin());
  }

  int size() const override { return static_cast<int>(group_.size()); }
  int rank() const override { return rank_; }
  std::string_view name() const override { return world_.name(); }

  void all_reduce(const Context&, const View& x) override {
    const std::span<float> values = floats(x);
    if (bytes(x).size() <= kOneExchangeBytes) {
      send_to_others(bytes(x));
      replace_by_sum(values);
      return;
    }
    const auto part = [&](int rank) {
      const size_t begin = values.size() * static_cast<size_t>(rank) / group_.size();
      const size_t end = values.size() * static_cast<size_t>(rank + 1) / group_.size();
      return values.subspan(begin, end - begin);
    };
    for (int to = 0; to < size(); ++to)
      if (to != rank_) send(to, std::as_bytes(part(to)));
    const std::span<float> mine = part(rank_);
    replace_by_sum(mine);
    send_to_others(std::as_bytes(mine));
    for (int from = 0; from < size(); ++from)
      if (from != rank_) receive(from, std::as_writable_bytes(part(from)));
  }

  void all_gather(const Context&, const View& x, const View& y) override {
    const std::span<std::byte> mine = bytes(x), all = bytes(y);
    BOLIDE_CHECK(all.size() == mine.size() * group_.size(), "{} bytes of each rank in {}", mine.size(),
                 all.size());
    send_to_others(mine);
    for (int from = 0; from < size(); ++from) {
      const std::span<std::byte> part(all.data() + mine.size() * static_cast<size_t>(from), mine.size());
      if (from != rank_) {
        receive(from, part);
      } else if (part.data() != mine.data()) {
        std::memcpy(part.data(), mine.data(), mine.size());
      }
    }
  }

  void reduce_scatter(const Context&, const View& x, const View& y) override {
    const std::span<float> all = floats(x), sum = floats(y);
    BOLIDE_CHECK(all.size() == sum.size() * group_.size(), "{} values of each rank in {}", sum.size(),
                 all.size());
    const auto part = [&](int rank) {
      return all.subspan(sum.size() * static_cast<size_t>(rank), sum.size());
    };
    for (int to = 0; to < size(); ++to)
      if (to != rank_) send(to, std::as_bytes(part(to)));
    add_in_rank_order(part(rank_), sum);
  }

  void broadcast(const Context&, const View& x, int root) override {
    if (rank_ == root) return send_to_others(bytes(x));
    receive(root, bytes(x));
  }

  void send(const Context&, const View& x, int to) override { send(to, bytes(x)); }
  void receive(const Context&, const View& x, int from) override { receive(from, bytes(x)); }

  void barrier(const Context&) override {
    send_to_others({});
    for (int from = 0; from < size(); ++from)
      if (from != rank_) receive(from, std::span<std::byte>());
  }

 private:
  void send(int to, std::span<const std::byte> data) {
    world_.send(group_[static_cast<size_t>(to)], channel_, data);
  }
  void receive(int from, std::span<std::byte> data) {
    world_.receive(group_[static_cast<size_t>(from)], channel_, data);
  }
  void send_to_others(std::span<const std::byte> data) {
    for (int to = 0; to < size(); ++to)
      if (to != rank_) send(to, data);
  }

  void replace_by_sum(std::span<float> values) {
    sum_.resize(std::max(sum_.size(), values.size()));
    const std::span<float> sum(sum_.data(), values.size());
    add_in_rank_order(values, sum);
    std::memcpy(values.data(), sum.data(), values.size_bytes());
  }
  // sum = the ranks' values in rank order, where `mine` are this rank's and the others' come as messages.
  void add_in_rank_order(std::span<const float> mine, std::span<float> sum) {
    other_.resize(std::max(other_.size(), sum.size()));
    const std::span<float> other(other_.data(), sum.size());
    for (int from = 0; from < size(); ++from) {
      if (from != rank_) receive(from, std::as_writable_bytes(other));
      const std::span<const float> next = from == rank_ ? mine : std::span<const float>(other);
      if (from == 0) {
        std::memcpy(sum.data(), next.data(), sum.size_bytes());
      } else {
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += next[i];
      }
    }
  }

  static std::span<std::byte> bytes(const View& x) {
    BOLIDE_CHECK(x.device == Device::kCpu && x.contiguous(), "{}", x.shape.str());
    return {static_cast<std::byte*>(x.data), static_cast<size_t>(x.shape.count()) * size_of(x.dtype)};
  }
  static std::span<float> floats(const View& x) {
    bytes(x);
    return {x.as<float>(), static_cast<size_t>(x.shape.count())};
  }

  Transport& world_;
  std::vector<int> group_;
  Channel channel_;
  int rank_ = 0;
  std::vector<float> sum_, other_;  // scratch: two sums a layer should not allocate
};

}  // namespace

std::unique_ptr<Communicator> make_host_communicator(Transport& world, std::span<const int> group,
                                                     Channel channel) {
  return std::make_unique<HostCommunicator>(world, group, channel);
}

}  // namespace bolide
