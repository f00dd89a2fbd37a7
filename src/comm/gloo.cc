#include <gloo/transport/context.h>
#include <gloo/transport/tcp/device.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "comm/rendezvous.h"
#include "comm/termination.h"
#include "comm/transport.h"

namespace bolide {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono_literals::operator""ms;
using Milliseconds = std::chrono::milliseconds;
using Buffer = gloo::transport::UnboundBuffer;

constexpr size_t kMaxQueuedBytes = size_t{256} << 20;
constexpr uint64_t kAbortSlot = kChannels;
constexpr size_t kReasonBytes = 512;
// Gloo closes every connection when one of its waits runs out: where no time-out is meant it is a year.
constexpr Milliseconds kEver = std::chrono::hours(24 * 365);

Milliseconds milliseconds_of(std::chrono::duration<double> time) {
  return std::max<Milliseconds>(1ms, std::chrono::ceil<Milliseconds>(time));
}

// Gloo writes to sockets without care for SIGPIPE, which would end the process at a closed connection. While
// one of these lives, this thread, and those that it starts, do not get it.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoPipeSignal() {
    if (sigismember(&before_, SIGPIPE)) return;
    const timespec now{};
    while (sigtimedwait(&pipe_, nullptr, &now) > 0) continue;
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  sigset_t pipe_, before_;
};

// Gloo's thread, which takes messages in, does not wait for a connection's lock but asks again and again.
// Where it had taken the core from the very thread that holds the lock, that would be milliseconds, so its
// wake-ups take no core from anybody. Threads inherit this from the one that makes them.
class NoPreemption {
 public:
  NoPreemption() {
    if (pthread_getschedparam(pthread_self(), &policy_, &before_) != 0 || policy_ != SCHED_OTHER) return;
    const sched_param batch{};
    changed_ = pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch) == 0;
  }
  ~NoPreemption() {
    if (changed_) pthread_setschedparam(pthread_self(), policy_, &before_);
  }
  NoPreemption(const NoPreemption&) = delete;
  NoPreemption& operator=(const NoPreemption&) = delete;

 private:
  int policy_ = SCHED_OTHER;
  sched_param before_{};
  bool changed_ = false;
};

// "[pair.cc:12] Connection closed" without the place in Gloo's sources.
std::string text_of(const std::exception& error) {
  const std::string_view text = error.what();
  const size_t end = text.starts_with('[') ? text.find("] ") : std::string_view::npos;
  return std::string(end == std::string_view::npos ? text : text.substr(end + 2));
}

class GlooTransport final : public Transport {
 public:
  GlooTransport(int rank, int size, std::chrono::duration<double> timeout,
                std::shared_ptr<gloo::transport::Context> context);
  ~GlooTransport() override;

  std::string_view name() const override { return "gloo"; }
  void send(int to, Channel channel, std::span<const std::byte> data) override;
  void receive(int from, Channel channel, std::span<std::byte> data) override;
  void abort(const std::string& reason) noexcept override;

 private:
  // On the wire a message is its size and its bytes.
  struct Sending {
    std::vector<std::byte> data;
    std::unique_ptr<Buffer> buffer;
  };
  struct End {
    int rank;
    std::string reason;
  };

  void drop_sent();
  void await_abort(int from);
  bool wait_until_queued(size_t most_bytes);
  void check_alive();
  [[noreturn]] void fail_broken(int rank, const std::string& detail);

  // torchrun, too, ends the ranks that are left; they find out about the dead one within the time this gives.
  TerminationWatch termination_;
  std::shared_ptr<gloo::transport::Context> context_;
  std::vector<std::byte> received_;  // as on the wire

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Sending> sending_;
  size_t queued_bytes_ = 0;
  Buffer* receiving_ = nullptr;  // what the engine's thread waits for
  std::optional<End> ended_;     // another rank has said that it ends
  std::optional<End> closed_;    // the first whose connection broke, whoever is waited for
  std::string send_fault_;
  bool broken_ = false, stop_ = false;

  // Of each other rank: one for all would be of no more use once one of them is gone.
  struct Last {
    std::vector<char> reason = std::vector<char>(kReasonBytes);
    std::unique_ptr<Buffer> buffer;
    std::thread watcher;
  };
  std::vector<Last> last_words_;  // [size], this rank's own unused
  std::thread dropper_;
};

GlooTransport::GlooTransport(int rank, int size, std::chrono::duration<double> timeout,
                             std::shared_ptr<gloo::transport::Context> context)
    : Transport(rank, size, timeout), context_(std::move(context)), last_words_(static_cast<size_t>(size)) {
  for (int other = 0; other < size; ++other) {
    if (other == rank) continue;
    Last& last = last_words_[static_cast<size_t>(other)];
    last.buffer = context_->createUnboundBuffer(last.reason.data(), last.reason.size());
    last.buffer->recv(other, kAbortSlot);
    last.watcher = std::thread([this, other] { await_abort(other); });
  }
  dropper_ = std::thread([this] { drop_sent(); });
}

// Gloo's own thread sends; this one gives the copies back that have gone.
void GlooTransport::drop_sent() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !sending_.empty(); });
    if (stop_) return;
    Buffer& first = *sending_.front().buffer;
    lock.unlock();
    std::string fault;
    bool sent = false;
    try {
      sent = first.waitSend(kEver);
    } catch (const std::exception& error) {
      fault = text_of(error);
    }
    lock.lock();
    if (!fault.empty()) {
      send_fault_ = fault;  // a message to a rank that is gone: the next call finds out
      changed_.notify_all();
      changed_.wait(lock, [&] { return stop_; });
    } else if (sent) {
      queued_bytes_ -= sending_.front().data.size();
      sending_.pop_front();
      changed_.notify_all();
    }
  }
}

void GlooTransport::await_abort(int from) {
  Last& last = last_words_[static_cast<size_t>(from)];
  try {
    if (!last.buffer->waitRecv(kEver)) return;
    const std::lock_guard lock(mutex_);
    if (!ended_)
      ended_ = {from, std::string(last.reason.data(), strnlen(last.reason.data(), last.reason.size()))};
    if (receiving_) receiving_->abortWaitRecv();
    changed_.notify_all();
  } catch (const std::exception& error) {
    const std::lock_guard lock(mutex_);
    if (!closed_) closed_ = {from, text_of(error)};
  }
}

// Under mutex_.
void GlooTransport::check_alive() {
  if (!ended_) return;
  broken_ = true;
  fail_gone(ended_->rank, ended_->reason);
}

// A connection is closed just after its rank has said why: that is the better message.
void GlooTransport::fail_broken(int rank, const std::string& detail) {
  std::unique_lock lock(mutex_);
  broken_ = true;
  changed_.wait_for(lock, 100ms, [&] { return ended_.has_value(); });
  check_alive();
  // Whoever is waited for may have ended for want of another one.
  if (closed_) fail_gone(closed_->rank, closed_->reason);
  fail_gone(rank, detail);
}

// False after the time-out, or where the connections are broken.
bool GlooTransport::wait_until_queued(size_t most_bytes) {
  std::unique_lock lock(mutex_);
  const auto gone = [&] { return queued_bytes_ <= most_bytes || ended_ || !send_fault_.empty(); };
  changed_.wait_for(lock, timeout(), gone);
  check_alive();
  return queued_bytes_ <= most_bytes;
}

void GlooTransport::send(int to, Channel channel, std::span<const std::byte> data) {
  BOLIDE_CHECK(to >= 0 && to < size() && to != rank(), "send to {}", to);
  const NoPipeSignal guard;
  const uint64_t bytes = data.size();
  Sending sending;
  sending.data.resize(sizeof bytes + data.size());
  std::memcpy(sending.data.data(), &bytes, sizeof bytes);
  if (bytes > 0) std::memcpy(sending.data.data() + sizeof bytes, data.data(), data.size());
  std::string fault;
  {
    const std::lock_guard lock(mutex_);
    check_alive();
    fault = send_fault_;
  }
  try {
    sending.buffer = context_->createUnboundBuffer(sending.data.data(), sending.data.size());
    if (fault.empty()) sending.buffer->send(to, static_cast<uint64_t>(channel));
  } catch (const std::exception& error) {
    fault = text_of(error);
  }
  if (!fault.empty()) fail_broken(to, fault);
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    queued_bytes_ += sending.data.size();
    sending_.push_back(std::move(sending));
    full = queued_bytes_ > kMaxQueuedBytes;
    changed_.notify_all();
  }
  if (full && !wait_until_queued(kMaxQueuedBytes)) {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    fail_silent(to);
  }
}

void GlooTransport::receive(int from, Channel channel, std::span<std::byte> data) {
  BOLIDE_CHECK(from >= 0 && from < size() && from != rank(), "receive from {}", from);
  const NoPipeSignal guard;
  uint64_t bytes = 0;
  received_.resize(std::max(received_.size(), sizeof bytes + data.size()));
  const auto buffer = context_->createUnboundBuffer(received_.data(), sizeof bytes + data.size());
  {
    const std::lock_guard lock(mutex_);
    check_alive();
    receiving_ = buffer.get();
  }
  const auto begin = Clock::now();
  const auto longest = milliseconds_of(timeout());
  std::string fault;
  bool there = false;
  try {
    buffer->recv(from, static_cast<uint64_t>(channel));
    there = buffer->waitRecv(longest);
  } catch (const std::exception& error) {
    fault = text_of(error);
  }
  {
    const std::lock_guard lock(mutex_);
    receiving_ = nullptr;
    if (!there) broken_ = true;
    if (!there && fault.empty()) check_alive();
  }
  if (!there && Clock::now() - begin >= longest) fail_silent(from);
  if (!there) fail_broken(from, fault);
  std::memcpy(&bytes, received_.data(), sizeof bytes);
  // Gloo ends the process where a message is longer than its buffer, but takes one that is shorter.
  if (bytes != data.size()) {
    fail_broken(from, fmt::format("its message has {} bytes where {} were due", bytes, data.size()));
  }
  if (bytes > 0) std::memcpy(data.data(), received_.data() + sizeof bytes, data.size());
}

void GlooTransport::abort(const std::string& reason) noexcept {
  try {
    const NoPipeSignal guard;
    {
      const std::lock_guard lock(mutex_);
      broken_ = true;
    }
    std::vector<char> text(kReasonBytes);
    std::copy_n(reason.data(), std::min(reason.size(), text.size()), text.data());
    std::vector<std::unique_ptr<Buffer>> buffers;
    for (int to = 0; to < size(); ++to) {
      if (to == rank()) continue;
      auto buffer = context_->createUnboundBuffer(text.data(), text.size());
      try {
        buffer->send(to, kAbortSlot);
        buffers.push_back(std::move(buffer));
      } catch (const std::exception& error) {
        log::debug("rank {} cannot be told: {}", to, text_of(error));
      }
    }
    const auto until = Clock::now() + 300ms;
    for (auto& buffer : buffers) {
      buffer->waitSend(std::max(1ms, std::chrono::ceil<Milliseconds>(until - Clock::now())));
    }
  } catch (const std::exception& error) {
    log::debug("could not tell every other rank: {}", text_of(error));
  }
}

GlooTransport::~GlooTransport() {
  const NoPipeSignal guard;
  try {
    // Nobody closes its connections while another still waits for what was sent over them.
    if (!broken_ && ends_with_others()) {
      at("the end");
      barrier(Channel::kStart);
      wait_until_queued(0);
    }
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (!sending_.empty()) sending_.front().buffer->abortWaitSend();
    for (Last& last : last_words_)
      if (last.buffer) last.buffer->abortWaitRecv();
  }
  changed_.notify_all();
  dropper_.join();
  for (Last& last : last_words_)
    if (last.watcher.joinable()) last.watcher.join();
}

// What processes have in common that reach each other by 127.0.0.1.
std::string host_identity() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::error_code ignored;
  const auto network = std::filesystem::read_symlink("/proc/self/ns/net", ignored);
  if (!boot.empty() && !network.empty()) return boot + " " + network.string();
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

bool is_loopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

// Of the first network interface that is up, IPv4 before IPv6.
std::string network_address() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return "127.0.0.1";
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owned(list, freeifaddrs);
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* at = list; at; at = at->ifa_next) {
      if (!at->ifa_addr || at->ifa_addr->sa_family != family || !(at->ifa_flags & IFF_UP)) continue;
      const auto bytes =
          static_cast<socklen_t>(family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
      char text[NI_MAXHOST] = "";
      if (getnameinfo(at->ifa_addr, bytes, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
      const bool of_link_only = std::strchr(text, '%') != nullptr;
      if (!is_loopback(text) && !of_link_only) return text;
    }
  }
  return "127.0.0.1";
}

// What to listen at for the other ranks.
gloo::transport::tcp::attr own_address(Rendezvous& rendezvous, int rank) {
  const std::string mine = host_identity();
  const auto identities = rendezvous.exchange(mine);
  const bool one_host = std::count(identities.begin(), identities.end(), mine) == std::ssize(identities);
  gloo::transport::tcp::attr address;
  for (const char* name : {"BOLIDE_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"}) {
    if (const char* value = std::getenv(name); value && *value) {
      address.iface = std::string(value).substr(0, std::string_view(value).find(','));
      return address;
    }
  }
  address.hostname = rendezvous.local_address();
  if (address.hostname.empty()) address.hostname = one_host ? "127.0.0.1" : network_address();
  if (!one_host && is_loopback(address.hostname)) {
    fail(ErrorCode::kUsage,
         "rank {} would be at {}, which the ranks of other hosts cannot reach: give MASTER_ADDR as an "
         "address of "
         "the network, or the interface in GLOO_SOCKET_IFNAME",
         rank, address.hostname);
  }
  return address;
}

std::shared_ptr<gloo::transport::Context> connect_all(Rendezvous& rendezvous, int rank, int size,
                                                      std::chrono::duration<double> timeout) {
  const auto address = own_address(rendezvous, rank);
  std::shared_ptr<gloo::transport::Context> context;
  std::string mine;
  try {
    const NoPreemption of_the_thread_made_here;
    context = gloo::transport::tcp::CreateDevice(address)->createContext(rank, size);
    context->setTimeout(milliseconds_of(timeout / 5));  // Gloo waits five times as long for a connection
    for (int other = 0; other < size; ++other) {
      if (other == rank) continue;
      const auto bytes = context->createPair(other)->address().bytes();
      mine.append(bytes.begin(), bytes.end());
    }
  } catch (const std::exception& error) {
    fail(ErrorCode::kUsage, "rank {} cannot listen at {}{}: {}; GLOO_SOCKET_IFNAME chooses another interface",
         rank, address.iface, address.hostname, text_of(error));
  }
  // Each rank has an address for each other one.
  const auto addresses = rendezvous.exchange(mine);
  const size_t bytes = mine.size() / static_cast<size_t>(size - 1);
  for (int other = 0; other < size; ++other) {
    if (other == rank) continue;
    const std::string& theirs = addresses[static_cast<size_t>(other)];
    const auto place = bytes * static_cast<size_t>(rank < other ? rank : rank - 1);
    try {
      if (theirs.size() != mine.size()) throw std::runtime_error("it is of another build");
      const auto begin = theirs.begin() + static_cast<std::ptrdiff_t>(place);
      context->getPair(other)->connect({begin, begin + static_cast<std::ptrdiff_t>(bytes)});
    } catch (const std::exception& error) {
      fail(ErrorCode::kResource, "rank {} cannot connect to rank {}: {}", rank, other, text_of(error));
    }
  }
  return context;
}

}  // namespace

std::unique_ptr<Transport> make_gloo_transport(const GlooRendezvous& rendezvous,
                                               std::chrono::duration<double> timeout) {
  BOLIDE_CHECK(rendezvous.size > 1, "a world of {} has nobody to meet", rendezvous.size);
  const NoPipeSignal guard;
  const auto place = make_rendezvous(rendezvous, timeout);
  auto context = connect_all(*place, rendezvous.rank, rendezvous.size, timeout);
  auto world = std::make_unique<GlooTransport>(rendezvous.rank, rendezvous.size, timeout, std::move(context));
  world->barrier(Channel::kStart);
  place->leave();
  return world;
}

}  // namespace bolide
