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
      std::vector<float> sum(values.size()), other(values.size());
      add_in_rank_order(values, sum, other);
      std::memcpy(values.data(), sum.data(), values.size_bytes());
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
    std::vector<float> sum(mine.size()), other(mine.size());
    add_in_rank_order(mine, sum, other);
    std::memcpy(mine.data(), sum.data(), mine.size_bytes());
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
    std::vector<float> other(sum.size());
    add_in_rank_order(part(rank_), sum, other);
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

  // sum = the ranks' values in rank order, where `mine` are this rank's and the others' come as messages.
  void add_in_rank_order(std::span<const float> mine, std::span<float> sum, std::span<float> other) {
    for (int from = 0; from < size(); ++from) {
      if (from != rank_) receive(from, std::as_writable_bytes(other));
      const std::span<const float> next = from == rank_ ? mine : other;
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
};

}  // namespace

std::unique_ptr<Communicator> make_host_communicator(Transport& world, std::span<const int> group,
                                                     Channel channel) {
  return std::make_unique<HostCommunicator>(world, group, channel);
}

}  // namespace bolide
