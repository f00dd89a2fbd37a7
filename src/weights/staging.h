#pragma once

#include "tensor/device.h"

namespace bolide {

// One loader thread's way from host bytes to the device. On a GPU two page-locked buffers take turns, so that
// the next block is read while the last one is on its way; on the CPU the one buffer is where blocks are
// taken from. One thread at a time.
class Staging {
 public:
  // Of context's device.
  explicit Staging(const Context& context);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Host memory for the next block; what was uploaded from the buffer before has arrived.
  std::byte* next(size_t bytes);
  // Sends the first `bytes` of it to the device and returns where they will be once context() has passed.
  const std::byte* upload(size_t bytes);
  // Where to run what takes blocks in: one thread, a stream of its own.
  const Context& context() const { return context_; }

 private:
  struct Buffer {
    explicit Buffer(Device device) : free(device) {}
    std::shared_ptr<std::byte> host, device;
    size_t bytes = 0;
    Event free;
  };
  Context context_;
  Stream stream_;
  Buffer buffers_[2];
  int current_ = 0;
};

}  // namespace bolide
