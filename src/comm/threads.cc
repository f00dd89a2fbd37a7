#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "comm/transport.h"

namespace bolide {
namespace {

// What has been sent and not yet received, from one rank to another.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::array<std::deque<std::vector<std::byte>>, kChannels> messages;
};

// What the endpoints share.
class Post {
 public:
  explicit Post(int size)
      : size_(size),
        boxes_(static_cast<size_t>(size) * static_cast<size_t>(size)),
        closed_(static_cast<size_t>(size)) {}

  Mailbox& box(int from, int to) { return boxes_[static_cast<size_t>(from * size_ + to)]; }

  // The first rank to end says why; all waits end.
  void abort(int rank, const std::string& reason) {
    {
      const std::lock_guard lock(mutex_);
      if (!ended_) ended_ = {rank, reason};
    }
    wake_all();
  }
  // A rank sends no more.
  void close(int rank) {
    closed_[static_cast<size_t>(rank)] = true;
    wake_all();
  }
  bool closed(int rank) const { return closed_[static_cast<size_t>(rank)]; }
  struct End {
    int rank;
    std::string reason;
  };
  std::optional<End> ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

 private:
  void wake_all() {
    for (Mailbox& box : boxes_) {
      { const std::lock_guard lock(box.mutex); }
      box.arrived.notify_all();
    }
  }
  int size_;
  std::vector<Mailbox> boxes_;
  std::vector<std::atomic<bool>> closed_;
  std::mutex mutex_;
  std::optional<End> ended_;
};

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(std::shared_ptr<Post> post, int rank, int size, std::chrono::duration<double> timeout)
      : Transport(rank, size, timeout), post_(std::move(post)) {}

  ~ThreadTransport() override { post_->close(rank()); }
  std::string_view name() const override { return "threads"; }

  void send(int to, Channel channel, std::span<const std::byte> data) override {
    check_others();
    Mailbox& box = post_->box(rank(), to);
    std::vector<std::byte> copy(data.begin(), data.end());
    {
      const std::lock_guard lock(box.mutex);
      box.messages[static_cast<size_t>(channel)].push_back(std::move(copy));
    }
    box.arrived.notify_one();
  }

  void receive(int from, Channel channel, std::span<std::byte> data) override {
    Mailbox& box = post_->box(from, rank());
    auto& queue = box.messages[static_cast<size_t>(channel)];
    std::unique_lock lock(box.mutex);
    const bool woken = box.arrived.wait_for(
        lock, timeout(), [&] { return !queue.empty() || post_->closed(from) || post_->ended().has_value(); });
    if (!woken) fail_silent(from);
    if (queue.empty()) {
      lock.unlock();
      check_others();
      fail_gone(from, "it has ended");
    }
    const std::vector<std::byte> message = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    BOLIDE_CHECK(message.size() == data.size(), "rank {} sent {} bytes, rank {} expects {}", from,
                 message.size(), rank(), data.size());
    if (!data.empty()) std::memcpy(data.data(), message.data(), data.size());
  }

  void abort(const std::string& reason) noexcept override {
    try {
      post_->abort(rank(), reason);
    } catch (const std::exception&) {  // no memory for the reason: the others run into their time-out
    }
  }

  void check_others() override {
    if (const auto end = post_->ended(); end && end->rank != rank()) fail_gone(end->rank, end->reason);
  }

 private:
  std::shared_ptr<Post> post_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> make_thread_transports(int size,
                                                               std::chrono::duration<double> timeout) {
  const auto post = std::make_shared<Post>(size);
  std::vector<std::unique_ptr<Transport>> ranks;
  for (int rank = 0; rank < size; ++rank)
    ranks.push_back(std::make_unique<ThreadTransport>(post, rank, size, timeout));
  return ranks;
}

}  // namespace bolide
