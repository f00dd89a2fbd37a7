// What tensor/device.h says where there is no CUDA.
#include <cstring>

#include "tensor/device.h"

namespace bolide {
namespace {
[[noreturn]] void no_cuda() {
  fail(ErrorCode::kUnsupported,
       "this build has no CUDA backend: use --device cpu, or build with -DBOLIDE_CUDA=ON");
}
}  // namespace

int cuda_device_count() { return 0; }
void use_cuda_device(int) { no_cuda(); }
DeviceProperties cuda_properties() { no_cuda(); }
size_t cuda_memory_free() { no_cuda(); }
std::shared_ptr<std::byte> allocate_device(size_t) { no_cuda(); }
void trim_device_memory() {}
std::shared_ptr<std::byte> allocate_pinned(size_t) { no_cuda(); }
size_t device_bytes_in_use() { return 0; }
size_t device_bytes_peak() { return 0; }

Stream::Stream(Device device) {
  if (device != Device::kCpu) no_cuda();
}
Stream::~Stream() = default;

Event::Event(Device device, std::optional<std::chrono::duration<double>>) {
  if (device != Device::kCpu) no_cuda();
}
Event::~Event() = default;
void Event::record(const Context&) {}
void Event::wait() const {}

Timestamp::Timestamp(Device device) {
  if (device != Device::kCpu) no_cuda();
}
Timestamp::~Timestamp() = default;
void Timestamp::record(const Context&) { at_ = std::chrono::steady_clock::now(); }
std::optional<double> Timestamp::since(const Timestamp& earlier) const {
  return std::chrono::duration<double>(at_ - earlier.at_).count();
}

Graph::~Graph() = default;
void Graph::begin(const Context&) { no_cuda(); }
void Graph::end(const Context&) { no_cuda(); }
void Graph::abandon(const Context&) {}
void Graph::launch(const Context&) const { no_cuda(); }

void copy_to_device(const Context&, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
}
void copy_to_host(const Context&, void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void copy_on_device(const Context&, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
}
void fill_zero(const Context&, void* to, size_t bytes) { std::memset(to, 0, bytes); }
void synchronize(const Context&) {}

}  // namespace bolide
