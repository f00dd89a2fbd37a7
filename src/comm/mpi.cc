#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "comm/launcher.h"
#include "comm/message.h"
#include "comm/mpi_api.h"
#include "comm/plugin.h"
#include "comm/termination.h"
#include "comm/transport.h"

namespace bolide {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""us;

// MPI counts bytes in an int.
constexpr size_t kChunkBytes = size_t{1} << 30;
// Copies of messages that the others have not taken yet: more means that nobody receives.
constexpr size_t kMaxQueuedBytes = size_t{256} << 20;
constexpr int kAbortTag = kChannels;
constexpr size_t kReasonBytes = 512;
// A short wait spins, because an answer within a layer takes microseconds; then it lets other ranks have the
// core; a long one sleeps, a fiftieth of what it has waited already, so that it costs 2 % of the wait at
// most.
constexpr auto kSpin = 20us, kYield = 1000us, kLongestSleep = 1000us;
// When a rank has died, mpirun lets a second pass before it sends SIGTERM to the others, and SIGKILL as soon
// as one of these has ended: too late to say anything. So a rank that waits looks itself which processes are
// left.
constexpr auto kLook = 50ms;
// mpirun sends SIGTERM after Ctrl-C, too: then rank 0 stops all others, within this time.
constexpr auto kStopGrace = 500ms;

// The first rank to end after a fault does so late enough for the others to say what they found, too.
constexpr auto kLastWords = 200ms;

// A process, among those of all hosts.
struct Process {
  uint64_t host = 0;
  int64_t pid = 0;
  bool seen_dead = false;

  static Process own() {
    std::string boot;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
    std::error_code ignored;
    const auto numbers = std::filesystem::read_symlink("/proc/self/ns/pid", ignored);
    return {std::hash<std::string>()(boot + numbers.string()), getpid(), false};
  }
  // Where it runs on this host: whether it has ended, though mpirun may not have noticed yet.
  bool dead(const Process& own) const {
    if (host != own.host) return false;
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    if (!std::getline(file, text)) return true;
    const size_t name_end = text.rfind(") ");
    return name_end != std::string::npos &&
           std::string_view("ZX").find(text[name_end + 2]) != std::string::npos;
  }
};

class MpiTransport final : public Transport {
 public:
  MpiTransport(const BolideMpi& mpi, int rank, int size, std::chrono::duration<double> timeout)
      : Transport(rank, size, timeout), mpi_(mpi), progress_([this] { progress(); }) {}
  ~MpiTransport() override;
  // All ranks together: they learn each other's processes.
  void exchange_processes();

  std::string_view name() const override { return "mpi"; }
  void send(int to, Channel channel, std::span<const std::byte> data) override;
  void receive(int from, Channel channel, std::span<std::byte> data) override;
  void abort(const std::string& reason) noexcept override;

 private:
  struct Sending {
    std::vector<std::byte> data;
    void* request = nullptr;
  };

  // All of these under mutex_.
  void post(int to, int tag, std::span<const std::byte> data);
  void test_sends();
  void check_aborted();
  void check(int error, int rank) const;

  // Calls `over` until it says so, each time under mutex_; throws where `rank` is not heard of in time.
  template <class Over>
  void wait(int rank, Over&& over);
  void receive_chunk(int from, int tag, std::span<std::byte> data);
  void check_processes(int waited_for);
  void progress();

  const BolideMpi& mpi_;
  TerminationWatch termination_;
  std::mutex mutex_;  // one call of MPI at a time
  std::deque<Sending> sending_;
  size_t queued_bytes_ = 0;
  bool broken_ = false, stop_ = false;
  std::vector<Process> processes_;  // of each rank
  Clock::time_point looked_;        // at them
  std::optional<Clock::time_point> told_to_end_;
  std::condition_variable send_waits_;
  std::thread progress_;
};

std::string describe(const BolideMpi& mpi, int error) {
  char text[256];
  mpi.describe(error, text, sizeof text);
  return text;
}

void MpiTransport::check(int error, int rank) const {
  if (error != 0) fail_gone(rank, "MPI reports " + describe(mpi_, error));
}

// MPI moves large messages only while it is called. This does it while the rank computes.
void MpiTransport::progress() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (sending_.empty() || broken_) {
      send_waits_.wait(lock);
      continue;
    }
    try {
      test_sends();
    } catch (const Error& error) {
      broken_ = true;  // the next receive, of whomever, finds the fault or runs into its time-out
      log::error("{}", error.what());
      continue;
    }
    lock.unlock();
    std::this_thread::sleep_for(50us);
    lock.lock();
  }
}

void MpiTransport::post(int to, int tag, std::span<const std::byte> data) {
  Sending& sending = sending_.emplace_back();
  sending.data.assign(data.begin(), data.end());
  check(mpi_.send(sending.data.data(), static_cast<int>(data.size()), to, tag, &sending.request), to);
  queued_bytes_ += data.size();
}

void MpiTransport::test_sends() {
  for (auto at = sending_.begin(); at != sending_.end();) {
    int done = 0, bytes = 0;
    const int error = at->request ? mpi_.test(&at->request, &done, &bytes) : 0;
    if (error != 0) fail(ErrorCode::kResource, "MPI could not send: {}", describe(mpi_, error));
    if (!done) {
      ++at;
      continue;
    }
    queued_bytes_ -= at->data.size();
    at = sending_.erase(at);
  }
}

void MpiTransport::check_aborted() {
  int from = -1, bytes = 0;
  check(mpi_.probe(kAbortTag, &from, &bytes), from);
  if (from < 0) return;
  std::string reason(static_cast<size_t>(bytes), ' ');
  void* request = nullptr;
  check(mpi_.receive(reason.data(), bytes, from, kAbortTag, &request), from);
  // The whole of so short a message is there once a probe has found it.
  for (int done = 0; !done;) check(mpi_.test(&request, &done, &bytes), from);
  fail_gone(from, reason);
}

void MpiTransport::exchange_processes() {
  const Process own = Process::own();
  const auto all = gather(std::as_bytes(std::span(&own, 1)), Channel::kStart);
  MessageWriter told;
  for (const auto& process : all) told.add(MessageReader(process, "a rank's process").get<Process>());
  const auto message = broadcast(told.data(), Channel::kStart);
  MessageReader reader(message, "the ranks' processes");
  for (int rank = 0; rank < size(); ++rank) processes_.push_back(reader.get<Process>());
}

// A process that has ended may have left messages, so it counts once it was seen so before.
void MpiTransport::check_processes(int waited_for) {
  const auto now = Clock::now();
  if (now - looked_ < kLook) return;
  looked_ = now;
  for (int other = 0; other < static_cast<int>(processes_.size()); ++other) {
    Process& process = processes_[static_cast<size_t>(other)];
    if (other == rank() || !process.dead(processes_[static_cast<size_t>(rank())])) continue;
    if (std::exchange(process.seen_dead, true)) fail_gone(other, "its process has ended");
  }
  termination_.renew();
  if (!termination_.requested()) return;
  if (!told_to_end_) told_to_end_ = now;
  if (now - *told_to_end_ > kStopGrace) {
    fail_gone(
        waited_for,
        "this rank was told to end while it waited, as mpirun does when another rank has died, or when it "
        "is itself told to");
  }
}

template <class Over>
void MpiTransport::wait(int rank, Over&& over) {
  const auto begin = Clock::now();
  looked_ = begin;
  for (bool first = true;; first = false) {
    const auto waited = Clock::now() - begin;
    {
      const std::lock_guard lock(mutex_);
      if (over()) return;
      test_sends();
      if (waited > kYield) check_aborted();
    }
    if (waited > timeout()) fail_silent(rank);
    if (waited > kYield) {
      check_processes(rank);
      std::this_thread::sleep_for(std::min<Clock::duration>(waited / 50, kLongestSleep));
    } else if (waited > kSpin && !first) {
      sched_yield();
    }
  }
}

void MpiTransport::send(int to, Channel channel, std::span<const std::byte> data) {
  BOLIDE_CHECK(to >= 0 && to < size() && to != rank(), "send to {}", to);
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    try {
      size_t begin = 0;
      do {
        const size_t bytes = std::min(kChunkBytes, data.size() - begin);
        post(to, static_cast<int>(channel), data.subspan(begin, bytes));
        begin += bytes;
      } while (begin < data.size());
      test_sends();
    } catch (...) {
      broken_ = true;
      throw;
    }
    full = queued_bytes_ > kMaxQueuedBytes;
    if (!sending_.empty()) send_waits_.notify_one();
  }
  if (!full) return;
  try {
    wait(to, [&] { return queued_bytes_ <= kMaxQueuedBytes; });
  } catch (...) {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    throw;
  }
}

void MpiTransport::receive(int from, Channel channel, std::span<std::byte> data) {
  BOLIDE_CHECK(from >= 0 && from < size() && from != rank(), "receive from {}", from);
  size_t begin = 0;
  do {
    const size_t bytes = std::min(kChunkBytes, data.size() - begin);
    receive_chunk(from, static_cast<int>(channel), data.subspan(begin, bytes));
    begin += bytes;
  } while (begin < data.size());
}

void MpiTransport::receive_chunk(int from, int tag, std::span<std::byte> data) {
  void* request = nullptr;
  int got = 0;
  try {
    {
      const std::lock_guard lock(mutex_);
      check(mpi_.receive(data.data(), static_cast<int>(data.size()), from, tag, &request), from);
    }
    wait(from, [&] {
      int done = 0;
      check(mpi_.test(&request, &done, &got), from);
      return done != 0;
    });
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (request) mpi_.drop(&request);  // nothing may be written to `data` any more
    broken_ = true;
    throw;
  }
  if (static_cast<size_t>(got) != data.size()) {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    fail_gone(from, fmt::format("its message has {} bytes where {} were due", got, data.size()));
  }
}

void MpiTransport::abort(const std::string& reason) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    const auto text = std::as_bytes(std::span(reason)).first(std::min(reason.size(), kReasonBytes));
    const size_t before = sending_.size();
    for (int to = 0; to < size(); ++to)
      if (to != rank()) post(to, kAbortTag, text);
    // They leave at once where the rank has been spoken to before; a first connection takes a moment.
    const auto until = Clock::now() + 200ms;
    while (sending_.size() > before && Clock::now() < until) {
      test_sends();
      std::this_thread::sleep_for(1ms);
    }
  } catch (const std::exception& error) {
    log::debug("could not tell the other ranks: {}", error.what());
  }
}

MpiTransport::~MpiTransport() {
  try {
    if (!broken_ && ends_with_others()) {
      at("the end");
      // MPI_Finalize waits for ever for a rank that is dead; so it is called only once all of them are here.
      wait(rank() == 0 ? 1 % size() : 0, [&] { return sending_.empty(); });
      if (size() > 1) barrier(Channel::kStart);
      wait(rank() == 0 ? 1 % size() : 0, [&] { return sending_.empty(); });
    } else {
      broken_ = true;
    }
  } catch (const std::exception& error) {
    broken_ = true;
    log::error("{}", error.what());
  }
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  send_waits_.notify_all();
  progress_.join();
  // Without it, mpirun ends the other ranks and fails, which after an error is what should happen. After
  // Ctrl-C it would wait for an mpirun that is itself on its way out.
  if (!broken_ && std::uncaught_exceptions() == 0) mpi_.finish();
  if (broken_) std::atexit([] { std::this_thread::sleep_for(kLastWords); });
}

std::atomic_flag made;

}  // namespace

bool mpi_started() { return made.test(); }

std::unique_ptr<Transport> make_mpi_transport(std::chrono::duration<double> timeout) {
  constexpr const char* kInstall = "Install OpenMPI (openmpi-bin, libopenmpi-dev) and build again";
  using Table = const BolideMpi* (*)();
  const auto table = reinterpret_cast<Table>(load_plugin("bolide-mpi.so", "bolide_mpi", "MPI", kInstall));
  const BolideMpi& mpi = *table();
  if (mpi.version != kMpiApiVersion) {
    fail(ErrorCode::kUnsupported, "bolide-mpi.so is of another build: version {}, {} is needed", mpi.version,
         kMpiApiVersion);
  }
  BOLIDE_CHECK(!made.test_and_set(), "MPI can be initialised once in a process");
  int rank = 0, size = 1;
  const int error = mpi.start(&rank, &size);
  if (error == kMpiNoThreads) {
    fail(ErrorCode::kUnsupported, "this MPI library takes no calls from threads: use one built with them");
  }
  if (error != 0) fail(ErrorCode::kResource, "MPI does not start: {}", describe(mpi, error));
  const Launch launch = read_launch();
  if (launch.by == Launch::By::kMpi && launch.size != size) {
    fail(ErrorCode::kUsage,
         "the launcher started {} processes, but the MPI library sees {}: use the mpirun of the OpenMPI that "
         "bolide was built with",
         launch.size, size);
  }
  auto world = std::make_unique<MpiTransport>(mpi, rank, size, timeout);
  world->exchange_processes();
  return world;
}

}  // namespace bolide
