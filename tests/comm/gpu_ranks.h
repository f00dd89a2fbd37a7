#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "tensor/device.h"

namespace bolide::test {

// For what a test of our own reductions must not call.
class NoLibrary final : public Communicator {
 public:
  NoLibrary(int size, int rank) : size_(size), rank_(rank) {}
  int size() const override { return size_; }
  int rank() const override { return rank_; }
  std::string_view name() const override { return "no library"; }
  void all_reduce(const Context&, const View&) override { refuse(); }
  void all_gather(const Context&, const View&, const View&) override { refuse(); }
  void reduce_scatter(const Context&, const View&, const View&) override { refuse(); }
  void broadcast(const Context&, const View&, int) override { refuse(); }
  void send(const Context&, const View&, int) override { refuse(); }
  void receive(const Context&, const View&, int) override { refuse(); }
  void barrier(const Context&) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { fail(ErrorCode::kUnsupported, "there is no library here"); }
  int size_, rank_;
};

// A rank of a test, on a thread and a stream of its own.
//
// Ranks of one process may share a GPU. While a kernel of one then waits for another rank's, the other may
// only launch kernels that are loaded: CUDA is free to let any other call wait for the GPU, for a lock or for
// a buffer (on an H200 a test that copied pageable memory there ran into its time-out after some hundred
// calls). So what copies, allocates or frees does it between two meetings, see together().
struct GpuRank {
  int rank = 0, size = 1;
  Context context;
  Transport& world;
  const std::vector<int>& group;  // all
  // Waits for the other ranks on the host. Throws when one of them has failed.
  std::function<void()> meet;
  // What this rank does from here on, a literal: printed when no rank has said or met anything for half the
  // time-out. Silence before the first is no matter.
  std::function<void(const char*)> now;
};

// Calls that wait for the other ranks' on the GPU, and what they came to.
template <class Calls>
void together(const GpuRank& rank, const Communicator& comm, const Calls& calls) {
  rank.meet();
  rank.now("launching");
  calls();
  rank.now("waiting for the GPU");
  synchronize(rank.context);
  comm.check();
  rank.now("meeting the others");
  rank.meet();
  rank.now("on the host");
}

// Says on stderr what ranks hang in.
class Watch {
 public:
  Watch(int ranks, std::chrono::duration<double> patience)
      : doing_(static_cast<size_t>(ranks)), thread_([this, patience] { watch(patience); }) {}
  ~Watch() {
    over_ = true;
    thread_.join();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  void now(int rank, const char* what) {
    doing_[static_cast<size_t>(rank)] = what;
    ++moves_;
  }

 private:
  void watch(std::chrono::duration<double> patience) {
    using Clock = std::chrono::steady_clock;
    uint64_t seen = 0;
    bool said = true;
    for (Clock::time_point since = Clock::now(); !over_;
         std::this_thread::sleep_for(std::chrono::milliseconds(20))) {
      if (const uint64_t moves = moves_; moves != seen) {
        seen = moves;
        since = Clock::now();
        said = false;
      } else if (!said && Clock::now() - since > patience) {
        said = true;
        for (size_t rank = 0; rank < doing_.size(); ++rank) {
          const char* const what = doing_[rank];
          fmt::print(stderr, "no rank has moved for {:g} s: rank {} is {}\n", patience.count(), rank,
                     what ? what : "at its start");
        }
        std::fflush(stderr);
      }
    }
  }
  std::vector<std::atomic<const char*>> doing_;
  std::atomic<uint64_t> moves_{0};
  std::atomic<bool> over_{false};
  std::thread thread_;  // last: it uses the others
};

// Runs `body` on as many ranks as there are devices named, which may be the same one. What a rank throws goes
// to `fault`, and gets all of them to end.
inline void run_on_gpus(const std::vector<int>& devices, std::chrono::duration<double> timeout,
                        const std::function<void(const GpuRank&)>& body,
                        const std::function<void(const std::string&)>& fault) {
  const int size = static_cast<int>(devices.size());
  auto transports = make_thread_transports(size, timeout);
  std::vector<int> group(devices.size());
  for (int rank = 0; rank < size; ++rank) group[static_cast<size_t>(rank)] = rank;
  std::barrier meeting(size);
  std::atomic<bool> failed{false};
  Watch watch(size, timeout / 2);
  std::mutex faults;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      Transport& world = *transports[static_cast<size_t>(rank)];
      try {
        const int device = devices[static_cast<size_t>(rank)];
        use_cuda_device(device);
        const Stream stream(Device::kCuda);
        Arena arena(Device::kCuda);
        const Context context = {
            .device = Device::kCuda, .device_index = device, .stream = stream.get(), .arena = &arena};
        const auto meet = [&] {
          meeting.arrive_and_wait();
          if (failed) fail(ErrorCode::kResource, "another rank has failed");
        };
        const auto now = [&](const char* what) { watch.now(rank, what); };
        body({.rank = rank,
              .size = size,
              .context = context,
              .world = world,
              .group = group,
              .meet = meet,
              .now = now});
      } catch (const std::exception& e) {
        failed = true;
        {
          const std::lock_guard lock(faults);
          fault(fmt::format("rank {} of {}: {}", rank, size, e.what()));
        }
        world.abort(e.what());
      }
      meeting.arrive_and_drop();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Where ranks of a test run. One GPU can be several ranks of our own reductions, not of NCCL's.
struct Place {
  const char* name;
  int gpus;   // that it needs; 0: all, at least two and at most eight
  int ranks;  // 0: one a GPU
};
inline void PrintTo(const Place& place, std::ostream* out) { *out << place.name; }
// Empty where the machine has too few GPUs.
inline std::vector<int> devices_of(const Place& place) {
  const int have = cuda_device_count(), gpus = place.gpus ? place.gpus : std::min(have, 8);
  const int ranks = place.ranks ? place.ranks : gpus;
  std::vector<int> devices;
  if (have < std::max(gpus, place.gpus ? 1 : 2)) return devices;
  for (int rank = 0; rank < ranks; ++rank) devices.push_back(rank % gpus);
  return devices;
}

// Why a test of that place skips here.
inline std::string too_few(const Place& place) {
  return fmt::format("NOT TESTED: this machine has {} GPU(s) that CUDA can use, too few for {}",
                     cuda_device_count(), place.name);
}

}  // namespace bolide::test
