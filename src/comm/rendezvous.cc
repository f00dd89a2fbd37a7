#include "comm/rendezvous.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <future>
#include <sstream>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/printable.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

constexpr uint32_t kMaxTextBytes = 64 << 10;
constexpr std::string_view kGreeting = "bolide-meeting-1";

class Socket {
 public:
  explicit Socket(int file = -1) : file_(file) {}
  Socket(Socket&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~Socket() {
    if (file_ >= 0) ::close(file_);
  }
  int file() const { return file_; }
  explicit operator bool() const { return file_ >= 0; }

 private:
  int file_;
};

int milliseconds_to(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

bool ready(int file, short events, Clock::time_point deadline) {
  pollfd wanted{.fd = file, .events = events, .revents = 0};
  for (;;) {
    const int found = poll(&wanted, 1, milliseconds_to(deadline));
    if (found > 0) return true;
    if (found == 0) return false;
    if (errno != EINTR) return true;  // the call that follows finds the fault
  }
}

// Empty when all bytes went, or came; else why not.
template <class Move>
std::string move_all(int file, short events, size_t bytes, Clock::time_point deadline, Move&& move) {
  for (size_t done = 0; done < bytes;) {
    if (!ready(file, events, deadline)) return "it does not answer";
    const ssize_t moved = move(done);
    if (moved == 0) return "it has closed the connection";
    if (moved < 0 && errno != EAGAIN && errno != EINTR) return std::strerror(errno);
    if (moved > 0) done += static_cast<size_t>(moved);
  }
  return "";
}

std::string put(int file, std::string_view data, Clock::time_point deadline) {
  return move_all(file, POLLOUT, data.size(), deadline, [&](size_t done) {
    return ::send(file, data.data() + done, data.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
  });
}
std::string take(int file, std::span<char> data, Clock::time_point deadline) {
  return move_all(file, POLLIN, data.size(), deadline, [&](size_t done) {
    return ::recv(file, data.data() + done, data.size() - done, MSG_DONTWAIT);
  });
}

std::string put_text(int file, const std::string& text, Clock::time_point deadline) {
  const auto bytes = static_cast<uint32_t>(text.size());
  std::string frame(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  return put(file, frame + text, deadline);
}
std::string take_text(int file, std::string& text, Clock::time_point deadline) {
  uint32_t bytes = 0;
  std::string fault = take(file, {reinterpret_cast<char*>(&bytes), sizeof bytes}, deadline);
  if (!fault.empty()) return fault;
  if (bytes > kMaxTextBytes) return "it does not speak as a rank of Bolide does";
  text.resize(bytes);
  return take(file, text, deadline);
}

// "10.0.0.1", also for an IPv4 peer of an IPv6 socket.
std::string address_of(int file) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  char text[NI_MAXHOST] = "";
  if (getsockname(file, reinterpret_cast<sockaddr*>(&address), &bytes) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&address), bytes, text, sizeof text, nullptr, 0,
                  NI_NUMERICHOST)) {
    return "";
  }
  const std::string_view numeric = text;
  constexpr std::string_view kMapped = "::ffff:";
  return std::string(numeric.starts_with(kMapped) ? numeric.substr(kMapped.size()) : numeric);
}

// Where nobody listens yet, a socket that is given the port it knocks at for its own is connected to itself.
bool met_itself(int file) {
  sockaddr_storage mine{}, other{};
  socklen_t bytes = sizeof mine, other_bytes = sizeof other;
  return getsockname(file, reinterpret_cast<sockaddr*>(&mine), &bytes) == 0 &&
         getpeername(file, reinterpret_cast<sockaddr*>(&other), &other_bytes) == 0 && bytes == other_bytes &&
         std::memcmp(&mine, &other, bytes) == 0;
}

struct HostPort {
  std::string host, port;
};

HostPort split_address(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    fail(ErrorCode::kUsage, "the meeting address '{}' must be HOST:PORT or file:FOLDER", printable(address));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return {host, address.substr(colon + 1)};
}

// What the host's name stands for.
struct Addresses {
  int error = EAI_AGAIN;  // getaddrinfo()'s
  std::shared_ptr<addrinfo> list;
};

Addresses look_up(const HostPort& where, int flags) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags;
  const int error = getaddrinfo(where.host.c_str(), where.port.c_str(), &wanted, &found);
  if (error != 0) return {error, nullptr};
  return {0, std::shared_ptr<addrinfo>(found, freeaddrinfo)};
}

// A name server that does not answer holds getaddrinfo() up for as long as its own settings say, so that it
// runs on a thread, which is left behind when the meeting's time is over.
std::future<Addresses> begin_look_up(const HostPort& where) {
  auto promise = std::make_shared<std::promise<Addresses>>();
  std::future<Addresses> future = promise->get_future();
  if (Addresses digits = look_up(where, AI_NUMERICHOST); digits.error == 0) {
    promise->set_value(std::move(digits));
    return future;
  }
  const auto ask = [promise, where] { promise->set_value(look_up(where, 0)); };
  try {
    std::thread(ask).detach();
  } catch (const std::system_error&) {  // no thread is to be had
    ask();
  }
  return future;
}

std::string why_unknown(const HostPort& where, int error) {
  if (error == EAI_SERVICE) return fmt::format("'{}' is no port", printable(where.port));
  if (error == EAI_NONAME)
    return fmt::format("no host is known by the name '{}'; check MASTER_ADDR", printable(where.host));
  return fmt::format(
      "the name '{}' cannot be looked up ({}); check MASTER_ADDR, or give the address in digits",
      printable(where.host), gai_strerror(error));
}

bool is_of_this_host(const addrinfo& address) {
  const Socket probe(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_storage any_port{};
  std::memcpy(&any_port, address.ai_addr, address.ai_addrlen);
  if (address.ai_family == AF_INET) reinterpret_cast<sockaddr_in&>(any_port).sin_port = 0;
  if (address.ai_family == AF_INET6) reinterpret_cast<sockaddr_in6&>(any_port).sin6_port = 0;
  return bind(probe.file(), reinterpret_cast<sockaddr*>(&any_port), address.ai_addrlen) == 0 ||
         errno != EADDRNOTAVAIL;
}

// Of rank 0, which listens whatever it is called: why the others may look for it in vain. Empty where nothing
// speaks for that.
std::string doubt_about(const HostPort& where, std::future<Addresses>& look_up) {
  if (look_up.wait_for(0s) != std::future_status::ready) return "; " + why_unknown(where, EAI_AGAIN);
  const Addresses addresses = look_up.get();
  if (addresses.error != 0) return "; " + why_unknown(where, addresses.error);
  for (const addrinfo* at = addresses.list.get(); at; at = at->ai_next)
    if (is_of_this_host(*at)) return "";
  return fmt::format("; {} is no address of this host, where rank 0 runs: check MASTER_ADDR",
                     printable(where.host));
}

// Rank 0 listens, gathers each round's texts and hands all of them out.
class TcpRendezvous final : public Rendezvous {
 public:
  TcpRendezvous(const GlooRendezvous& rendezvous, std::chrono::duration<double> timeout)
      : rendezvous_(rendezvous),
        where_(split_address(rendezvous.address)),
        timeout_(timeout),
        deadline_(Clock::now() + std::chrono::ceil<Clock::duration>(timeout)) {
    if (rendezvous.rank == 0) {
      receive_all();
    } else {
      go_there();
    }
  }

  std::vector<std::string> exchange(const std::string& mine) override;
  std::string local_address() const override { return local_address_; }
  void leave() override { peers_.clear(); }

 private:
  void receive_all();
  void receive_one(const Socket& door);
  void go_there();
  Socket try_to_connect(std::string& why);
  void check(const std::string& fault, int rank) const {
    if (!fault.empty()) {
      fail(ErrorCode::kResource, "rank {} is gone from the meeting at {}: {}", rank, rendezvous_.address,
           fault);
    }
  }
  std::string greeting(int rank) const { return fmt::format("{} {} {}", kGreeting, rank, rendezvous_.size); }

  GlooRendezvous rendezvous_;
  HostPort where_;
  std::chrono::duration<double> timeout_;
  Clock::time_point deadline_;
  std::vector<Socket> peers_;  // rank 0: by rank; the others: rank 0's alone
  std::string local_address_;
};

// On all addresses, so that it does not matter how the other hosts call this one; IPv4 and IPv6 where there
// is IPv6.
Socket listen_at(const std::string& port) {
  std::string why;
  for (const int family : {AF_INET6, AF_INET}) {
    addrinfo wanted{}, *found = nullptr;
    wanted.ai_family = family;
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    if (const int error = getaddrinfo(nullptr, port.c_str(), &wanted, &found)) {
      why = gai_strerror(error);
      continue;
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
    Socket door(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1, off = 0;
    if (door) setsockopt(door.file(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (door && family == AF_INET6) setsockopt(door.file(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (door && bind(door.file(), found->ai_addr, found->ai_addrlen) == 0 && listen(door.file(), 128) == 0) {
      return door;
    }
    why = errno == EADDRINUSE ? "another process uses it" : std::strerror(errno);
    if (errno == EADDRINUSE) break;
  }
  fail(ErrorCode::kUsage, "rank 0 cannot listen at port {}: {}; give another MASTER_PORT", port, why);
}

void TcpRendezvous::receive_all() {
  peers_.resize(static_cast<size_t>(rendezvous_.size));
  if (rendezvous_.size == 1) return;
  const Socket door = listen_at(where_.port);
  std::future<Addresses> look_up = begin_look_up(where_);
  const auto absent = [&] {
    std::string ranks;
    for (int rank = 1; rank < rendezvous_.size; ++rank)
      if (!peers_[static_cast<size_t>(rank)]) ranks += fmt::format("{}{}", ranks.empty() ? "" : ", ", rank);
    return ranks;
  };
  for (std::string missing = absent(); !missing.empty(); missing = absent()) {
    if (!ready(door.file(), POLLIN, deadline_)) {
      fail(ErrorCode::kResource, "of {} ranks, {} did not come to the meeting at {} within {:g} s{}",
           rendezvous_.size, missing, printable(rendezvous_.address), timeout_.count(),
           doubt_about(where_, look_up));
    }
    receive_one(door);
  }
}

// Whoever does not greet as a rank does, a port scanner say, is sent away; one that says nothing holds the
// others up for a second.
void TcpRendezvous::receive_one(const Socket& door) {
  Socket peer(accept4(door.file(), nullptr, nullptr, SOCK_CLOEXEC));
  std::string text;
  if (!peer || !take_text(peer.file(), text, std::min(deadline_, Clock::now() + 1s)).empty()) return;
  std::istringstream words(text);
  std::string greeting;
  int rank = -1, size = -1;
  if (!(words >> greeting >> rank >> size) || greeting != kGreeting) return;
  if (size != rendezvous_.size || rank < 1 || rank >= size) {
    fail(ErrorCode::kUsage, "rank {} of {} came to the meeting at {}, which is for {} ranks", rank, size,
         rendezvous_.address, rendezvous_.size);
  }
  Socket& place = peers_[static_cast<size_t>(rank)];
  if (place) fail(ErrorCode::kUsage, "two processes say that they are rank {}", rank);
  // Ranks of this host may have come by a loopback address, by which the others could not reach this one.
  const std::string address = address_of(peer.file());
  if (local_address_.empty() || local_address_.starts_with("127.") || local_address_ == "::1") {
    local_address_ = address;
  }
  place = std::move(peer);
}

Socket TcpRendezvous::try_to_connect(std::string& why) {
  std::future<Addresses> look_up = begin_look_up(where_);
  const bool known = look_up.wait_until(deadline_) == std::future_status::ready;
  const Addresses addresses = known ? look_up.get() : Addresses();
  if (addresses.error != 0) {
    why = why_unknown(where_, addresses.error);
    if (addresses.error != EAI_AGAIN)
      fail(ErrorCode::kUsage, "the meeting address {} is not known: {}", printable(rendezvous_.address), why);
    return Socket();
  }
  for (const addrinfo* at = addresses.list.get(); at; at = at->ai_next) {
    Socket peer(socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!peer) continue;
    int fault = connect(peer.file(), at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (fault == EINPROGRESS) {
      socklen_t bytes = sizeof fault;
      fault = ETIMEDOUT;
      if (ready(peer.file(), POLLOUT, std::min(deadline_, Clock::now() + 3s))) {
        getsockopt(peer.file(), SOL_SOCKET, SO_ERROR, &fault, &bytes);
      }
    }
    if (fault == 0 && met_itself(peer.file())) fault = ECONNREFUSED;
    if (fault == 0) return peer;
    why = fault == ECONNREFUSED ? "nobody listens there: does rank 0 run, on that host and port?"
                                : fmt::format("{}; check MASTER_ADDR", std::strerror(fault));
  }
  return Socket();
}

// Rank 0 may start later than the others.
void TcpRendezvous::go_there() {
  std::string why = "no answer";
  for (;;) {
    Socket peer = try_to_connect(why);
    if (peer) {
      const int on = 1;
      setsockopt(peer.file(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      local_address_ = address_of(peer.file());
      check(put_text(peer.file(), greeting(rendezvous_.rank), deadline_), 0);
      peers_.push_back(std::move(peer));
      return;
    }
    if (Clock::now() > deadline_) {
      fail(ErrorCode::kResource, "rank 0 was not at the meeting at {} within {:g} s: {}",
           printable(rendezvous_.address), timeout_.count(), why);
    }
    std::this_thread::sleep_for(50ms);
  }
}

std::vector<std::string> TcpRendezvous::exchange(const std::string& mine) {
  BOLIDE_CHECK(mine.size() <= kMaxTextBytes, "{} bytes", mine.size());
  std::vector<std::string> all(static_cast<size_t>(rendezvous_.size));
  if (rendezvous_.rank != 0) {
    const int file = peers_[0].file();
    check(put_text(file, mine, deadline_), 0);
    for (std::string& text : all) check(take_text(file, text, deadline_), 0);
    return all;
  }
  all[0] = mine;
  for (size_t rank = 1; rank < all.size(); ++rank)
    check(take_text(peers_[rank].file(), all[rank], deadline_), static_cast<int>(rank));
  for (size_t rank = 1; rank < all.size(); ++rank)
    for (const std::string& text : all)
      check(put_text(peers_[rank].file(), text, deadline_), static_cast<int>(rank));
  return all;
}

// A file for each round and rank in a folder, which appears whole.
class FileRendezvous final : public Rendezvous {
 public:
  FileRendezvous(const GlooRendezvous& rendezvous, std::chrono::duration<double> timeout)
      : rendezvous_(rendezvous),
        folder_(rendezvous.address.substr(std::string_view("file:").size())),
        timeout_(timeout) {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (!is_folder(folder_)) {
      fail(ErrorCode::kUsage, "the folder of the meeting at {} cannot be made: {}", rendezvous.address,
           error.message());
    }
  }

  std::vector<std::string> exchange(const std::string& mine) override {
    write(mine);
    const auto deadline = Clock::now() + std::chrono::ceil<Clock::duration>(timeout_);
    std::vector<std::string> all;
    for (int rank = 0; rank < rendezvous_.size; ++rank) {
      for (; !path_exists(file_of(rank)); std::this_thread::sleep_for(10ms)) {
        if (Clock::now() > deadline) {
          fail(ErrorCode::kResource, "rank {} did not come to the meeting at {} within {:g} s", rank,
               rendezvous_.address, timeout_.count());
        }
      }
      all.push_back(read_text_file(file_of(rank), kMaxTextBytes));
    }
    ++round_;
    return all;
  }
  std::string local_address() const override { return ""; }
  void leave() override {
    std::error_code ignored;
    for (; round_ > 0; --round_) fs::remove(file_of(rendezvous_.rank, round_ - 1), ignored);
  }

 private:
  fs::path file_of(int rank, int round) const {
    return folder_ / fmt::format("round-{}-rank-{}", round, rank);
  }
  fs::path file_of(int rank) const { return file_of(rank, round_); }

  void write(const std::string& text) const {
    BOLIDE_CHECK(text.size() <= kMaxTextBytes, "{} bytes", text.size());
    const fs::path path = file_of(rendezvous_.rank), part = path.string() + ".part";
    std::error_code ignored;
    fs::remove(part, ignored);  // of a killed run, or a pipe, which would hold the writer up
    try {
      write_text_file(part, text);
    } catch (const Error& fault) {
      fail(ErrorCode::kUsage, "{}; give a folder that every rank can write to", fault.what());
    }
    // link(), because rename() would replace a file that is there.
    const int error = link(part.c_str(), path.c_str()) == 0 ? 0 : errno;
    fs::remove(part, ignored);
    if (error == EEXIST) {
      fail(ErrorCode::kUsage, "the folder of the meeting at {} has files of another run: give an empty one",
           rendezvous_.address);
    }
    if (error != 0) {
      fail(ErrorCode::kUsage, "{} cannot be written: {}; give a folder that every rank can write to",
           path.string(), std::strerror(error));
    }
  }

  GlooRendezvous rendezvous_;
  fs::path folder_;
  std::chrono::duration<double> timeout_;
  int round_ = 0;
};

}  // namespace

std::unique_ptr<Rendezvous> make_rendezvous(const GlooRendezvous& rendezvous,
                                            std::chrono::duration<double> timeout) {
  BOLIDE_CHECK(rendezvous.rank >= 0 && rendezvous.rank < rendezvous.size, "rank {} of {}", rendezvous.rank,
               rendezvous.size);
  if (rendezvous.address.starts_with("file:")) return std::make_unique<FileRendezvous>(rendezvous, timeout);
  return std::make_unique<TcpRendezvous>(rendezvous, timeout);
}

}  // namespace bolide
