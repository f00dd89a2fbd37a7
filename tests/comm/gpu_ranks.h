#pragma once

#include <barrier>
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
struct GpuRank {
  int rank = 0, size = 1;
  Context context;
  Transport& world;
  const std::vector<int>& group;  // all
  // Waits for the other ranks on the host. With ranks of one process, memory is freed (which waits for the
  // GPU) only where no rank waits for another: all ranks meet before.
  std::function<void()> meet;
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
        body({.rank = rank, .size = size, .context = context, .world = world, .group = group, .meet = [&] {
                meeting.arrive_and_wait();
              }});
      } catch (const std::exception& e) {
        {
          const std::lock_guard lock(faults);
          fault(fmt::format("rank {}: {}", rank, e.what()));
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
