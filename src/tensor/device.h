#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "tensor/context.h"

namespace bolide {

// Memory, streams, graphs and copies on a GPU. In a build without CUDA (no_cuda.cc) there are no devices, and
// whatever needs one throws kUnsupported; copies between host memories work everywhere.

// GPUs that this process may use; 0 in a build without CUDA or on a machine without a driver.
int cuda_device_count();

struct DeviceProperties {
  std::string name;            // "NVIDIA H200"
  std::string address;         // on the machine's bus, "0000:19:00"
  int compute_capability = 0;  // 90 for Hopper
  int multiprocessors = 0;
  size_t l2_bytes = 0;
  size_t memory_bytes = 0;
};
// Makes GPU `index` the calling thread's device. kUsage naming how many there are when it is not there;
// kUnsupported for a build without CUDA or a compute capability below 8.0.
void use_cuda_device(int index);
// Of the calling thread's GPU.
DeviceProperties cuda_properties();
size_t cuda_memory_free();

// Memory on the device: zero-filled never, 256-byte aligned on a GPU. kResource naming size and free bytes.
std::shared_ptr<std::byte> allocate_device(size_t bytes);
// Gives the driver back what was freed, for others to take. No-op without CUDA.
void trim_device_memory();
// Page-locked host memory, for copies that overlap with kernels.
std::shared_ptr<std::byte> allocate_pinned(size_t bytes);
// Bytes that allocate_device() has given out and that still live, and the most that ever lived at once.
size_t device_bytes_in_use();
size_t device_bytes_peak();

// A stream of the calling thread's GPU; get() is null for the CPU.
class Stream {
 public:
  explicit Stream(Device device);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  void* get() const { return stream_; }

 private:
  void* stream_ = nullptr;
};

// A point in a stream's work that the host can wait for.
class Event {
 public:
  // With a limit, for work that waits for other ranks: one that is gone must not keep the host for ever.
  explicit Event(Device device, std::optional<std::chrono::duration<double>> limit = {});
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(const Context& context);
  // Throws kInternal for a fault in any of the work before it, kResource past the limit. No-op on the CPU.
  void wait() const;

 private:
  [[maybe_unused]] void* event_ = nullptr;  // unused without CUDA
  [[maybe_unused]] std::optional<std::chrono::duration<double>> limit_;
};

// When a stream's work came by a point of it, to be read without waiting. Never within a captured graph,
// whose launches would each write the same one. On the CPU work is done when its call returns, so the point
// is passed as it is recorded.
class Timestamp {
 public:
  explicit Timestamp(Device device);
  ~Timestamp();
  Timestamp(const Timestamp&) = delete;
  Timestamp& operator=(const Timestamp&) = delete;
  void record(const Context& context);
  // Seconds from `earlier` to this one, both recorded, on one stream; none while work before this one is on
  // its way. Throws kInternal for a fault in any of that work.
  std::optional<double> since(const Timestamp& earlier) const;

 private:
  [[maybe_unused]] void* event_ = nullptr;  // unused without CUDA
  std::chrono::steady_clock::time_point at_;
};

// Work of a stream, recorded once and launched as one.
class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  // Records what `work` puts on context.stream instead of running it.
  template <class Work>
  void capture(const Context& context, const Work& work) {
    begin(context);
    try {
      work();
    } catch (...) {
      abandon(context);
      throw;
    }
    end(context);
  }
  void launch(const Context& context) const;
  bool empty() const { return executable_ == nullptr; }

 private:
  void begin(const Context& context);
  void end(const Context& context);
  void abandon(const Context& context);
  void* executable_ = nullptr;
};

// Ordered on context.stream; plain memory copies on the CPU. Pinned host memory is copied asynchronously and
// must stay as it is until the stream has passed.
void copy_to_device(const Context& context, void* to, const void* from, size_t bytes);
void copy_to_host(const Context& context, void* to, const void* from, size_t bytes);
void copy_on_device(const Context& context, void* to, const void* from, size_t bytes);
void fill_zero(const Context& context, void* to, size_t bytes);
// Waits until all work of context.stream is done, and throws kInternal for a fault in any of it. No-op on the
// CPU.
void synchronize(const Context& context);

}  // namespace bolide
