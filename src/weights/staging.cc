#include "weights/staging.h"

#include "tensor/allocator.h"

namespace bolide {

Staging::Staging(const Context& context)
    : context_(context), stream_(context.device), buffers_{Buffer(context.device), Buffer(context.device)} {
  context_.threads = 1;
  context_.stream = stream_.get();
}

Staging::~Staging() {
  try {
    synchronize(context_);  // the stream may still read the buffers
  } catch (...) {           // a fault of the device has been, or will be, reported by who waits for results
  }
}

std::byte* Staging::next(size_t bytes) {
  const bool host_only = context_.device == Device::kCpu;
  if (!host_only) {
    buffers_[current_].free.record(context_);  // after whatever took the last block in
    current_ = 1 - current_;
  }
  Buffer& buffer = buffers_[current_];
  buffer.free.wait();
  if (buffer.bytes < bytes) {
    buffer.host = nullptr;  // first, so that both never live at once
    buffer.host = host_only ? allocate_host(bytes) : allocate_pinned(bytes);
    if (!host_only) buffer.device = allocate_device(bytes);
    buffer.bytes = bytes;
  }
  return buffer.host.get();
}

const std::byte* Staging::upload(size_t bytes) {
  const Buffer& buffer = buffers_[current_];
  if (context_.device == Device::kCpu) return buffer.host.get();
  copy_to_device(context_, buffer.device.get(), buffer.host.get(), bytes);
  return buffer.device.get();
}

}  // namespace bolide
