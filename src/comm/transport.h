#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bolide {

// What a message is for. Messages of one channel between two ranks arrive in the order in which they were
// sent; channels do not wait for each other.
enum class Channel : uint8_t { kStart, kPlan, kResult, kTensor, kPipeline };
inline constexpr int kChannels = 5;

// Messages in host memory between the ranks of a run: plans, results, and under HostCommunicator the tensors
// of CPU ranks. One object a rank, for one thread at a time.
//
// Errors are kResource, name the rank that was waited for and what was going on (see at()), and are final:
// whoever gets one ends its rank. Nothing here waits longer than the time-out.
class Transport {
 public:
  Transport(int rank, int size, std::chrono::duration<double> timeout)
      : rank_(rank), size_(size), timeout_(timeout) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  std::chrono::duration<double> timeout() const { return timeout_; }
  virtual std::string_view name() const = 0;  // "threads", "mpi", "gloo"

  // Takes a message for `to` (never this rank) and returns when `data` may be overwritten, whether or not it
  // has arrived: ranks may send to each other before either receives.
  virtual void send(int to, Channel channel, std::span<const std::byte> data) = 0;
  // Waits for the next message of `from`, which must have data.size() bytes.
  virtual void receive(int from, Channel channel, std::span<std::byte> data) = 0;
  // Tells the other ranks, as far as it can, that this one ends and why: what they wait for throws. May be
  // called by another thread.
  virtual void abort(const std::string& reason) noexcept = 0;
  // Throws, as what waits for it would, when another rank of this process has told that it ends. Those of
  // other processes say why for themselves.
  virtual void check_others() {}

  // Messages whose size only the sender knows.
  void send_message(int to, Channel channel, std::span<const std::byte> data);
  std::vector<std::byte> receive_message(int from, Channel channel);
  // rank 0 gets every rank's message, in rank order and its own among them; the others get nothing.
  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> mine, Channel channel);
  // Every rank gets rank 0's message.
  std::vector<std::byte> broadcast(std::span<const std::byte> data_of_rank_0, Channel channel);
  // Returns once every rank has called it.
  void barrier(Channel channel);

  // What goes on, for the text of errors: "loading", "step 17".
  void at(std::string what) { at_ = std::move(what); }
  const std::string& at() const { return at_; }
  // Every rank has been told to end: a program that goes down with a fault of its own is then no reason not
  // to wait for the others.
  void agree_to_end() { end_agreed_ = true; }

 protected:
  // For destructors: whether the other ranks can be waited for, unless they are known to be gone.
  bool ends_with_others() const;
  // "rank 1 did not answer within 60 s in step 17: ..."
  [[noreturn]] void fail_silent(int rank) const;
  // "rank 1 is gone (detail) in step 17: ..."
  [[noreturn]] void fail_gone(int rank, std::string_view detail) const;

 private:
  int rank_, size_;
  std::chrono::duration<double> timeout_;
  std::string at_ = "the start";
  bool end_agreed_ = false;
};

// The ranks of one process, a thread each; [size].
std::vector<std::unique_ptr<Transport>> make_thread_transports(int size,
                                                               std::chrono::duration<double> timeout);
// Whether this build has them.
#ifdef BOLIDE_HAS_MPI
inline constexpr bool kHasMpi = true;
#else
inline constexpr bool kHasMpi = false;
#endif
#ifdef BOLIDE_HAS_GLOO
inline constexpr bool kHasGloo = true;
#else
inline constexpr bool kHasGloo = false;
#endif
// This process as a rank of the MPI world that mpirun or srun has made. kUnsupported where the build has no
// MPI, or its library cannot be loaded. Once a process.
std::unique_ptr<Transport> make_mpi_transport(std::chrono::duration<double> timeout);
bool mpi_started();  // whether that has been called
// This process as a rank of those that meet at `address`:`port`, where rank 0 listens. kUnsupported where the
// build has no Gloo.
struct GlooRendezvous {
  int rank = 0, size = 1;
  std::string address;  // "host:port", or "file:DIR": an empty folder that all of them see
};
std::unique_ptr<Transport> make_gloo_transport(const GlooRendezvous& rendezvous,
                                               std::chrono::duration<double> timeout);

}  // namespace bolide
