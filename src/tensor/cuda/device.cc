#include "tensor/device.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include "tensor/cuda/check.h"

namespace bolide {
namespace {

using cuda::check;

std::atomic<size_t> g_in_use{0};  // NOLINT: process-wide accounting, read by the memory report
std::atomic<size_t> g_peak{0};    // NOLINT

cudaStream_t stream_of(const Context& context) { return static_cast<cudaStream_t>(context.stream); }

struct DeviceMemory {
  size_t available = 0, total = 0;
};
// By the driver's management library, which needs no context: a full GPU has no memory for one. Nothing where
// there is no such library.
std::optional<DeviceMemory> managed_memory(int device) {
  struct Memory {  // nvmlMemory_t
    unsigned long long total, available, used;
  };
  char address[32] = {};
  if (cudaDeviceGetPCIBusId(address, sizeof(address), device) != cudaSuccess) return std::nullopt;
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::nullopt;
  const auto init = reinterpret_cast<int (*)()>(::dlsym(library, "nvmlInit_v2"));
  const auto find =
      reinterpret_cast<int (*)(const char*, void**)>(::dlsym(library, "nvmlDeviceGetHandleByPciBusId_v2"));
  const auto ask = reinterpret_cast<int (*)(void*, Memory*)>(::dlsym(library, "nvmlDeviceGetMemoryInfo"));
  const auto end = reinterpret_cast<int (*)()>(::dlsym(library, "nvmlShutdown"));
  std::optional<DeviceMemory> found;
  if (init && find && ask && end && init() == 0) {
    void* handle = nullptr;
    Memory memory{};
    if (find(address, &handle) == 0 && ask(handle, &memory) == 0)
      found = {.available = static_cast<size_t>(memory.available),
               .total = static_cast<size_t>(memory.total)};
    end();
  }
  ::dlclose(library);
  return found;
}

}  // namespace

void cuda::fail_for_memory(const char* what, int device) {
  std::optional<DeviceMemory> memory;
  if (device < 0) {
    DeviceMemory asked;
    if (cudaGetDevice(&device) == cudaSuccess &&
        cudaMemGetInfo(&asked.available, &asked.total) == cudaSuccess)
      memory = asked;
  }
  if (!memory && device >= 0) memory = managed_memory(device);
  cudaGetLastError();
  fail(ErrorCode::kResource,
       "GPU {} has no memory left for {}{}: end what else runs there, or take another GPU", device, what,
       memory ? fmt::format(": {} of its {} bytes are free", memory->available, memory->total) : "");
}

int cuda_device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

void use_cuda_device(int index) {
  const int count = cuda_device_count();
  if (index < 0 || index >= count) {
    fail(ErrorCode::kUsage, "GPU {} is not there: this process sees {} (CUDA_VISIBLE_DEVICES limits them)",
         index, count);
  }
  const cudaError_t status = cudaSetDevice(index);  // makes its context, too
  if (status == cudaErrorMemoryAllocation) cuda::fail_for_memory("this process", index);
  check(status, "cudaSetDevice");
  const DeviceProperties properties = cuda_properties();
  if (properties.compute_capability < 80) {
    fail(ErrorCode::kUnsupported, "{} has compute capability {}.{}, and 8.0 is the least: use --device cpu",
         properties.name, properties.compute_capability / 10, properties.compute_capability % 10);
  }
  // Freed blocks stay in the pool: a release to the driver at each synchronisation costs more than the step.
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, index), "cudaDeviceGetDefaultMemPool");
  uint64_t threshold = UINT64_MAX;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold),
        "cudaMemPoolSetAttribute");
}

DeviceProperties cuda_properties() {
  int index = 0;
  check(cudaGetDevice(&index), "cudaGetDevice");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return {.name = properties.name,
          .address = fmt::format("{:04x}:{:02x}:{:02x}", properties.pciDomainID, properties.pciBusID,
                                 properties.pciDeviceID),
          .compute_capability = properties.major * 10 + properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .l2_bytes = static_cast<size_t>(properties.l2CacheSize),
          .memory_bytes = properties.totalGlobalMem};
}

size_t cuda_memory_free() {
  size_t available = 0, total = 0;
  check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo");
  return available;
}

std::shared_ptr<std::byte> allocate_device(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocAsync(&memory, std::max<size_t>(bytes, 1), nullptr);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(ErrorCode::kResource,
         "out of GPU memory: {} bytes wanted, {} free; lower --max-kv-tokens or --batch-size", bytes,
         cuda_memory_free());
  }
  check(status, "cudaMallocAsync");
  check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");  // other streams may use it from here on
  const size_t now = g_in_use.fetch_add(bytes) + bytes;
  size_t peak = g_peak.load();
  while (peak < now && !g_peak.compare_exchange_weak(peak, now)) {
  }
  return {static_cast<std::byte*>(memory), [bytes](std::byte* p) {
            g_in_use.fetch_sub(bytes);
            cudaFree(p);  // waits for every stream that may still read it
          }};
}

void trim_device_memory() {
  int index = 0;
  cudaMemPool_t pool = nullptr;
  check(cudaGetDevice(&index), "cudaGetDevice");
  check(cudaDeviceGetDefaultMemPool(&pool, index), "cudaDeviceGetDefaultMemPool");
  check(cudaMemPoolTrimTo(pool, 0), "cudaMemPoolTrimTo");
}

std::shared_ptr<std::byte> allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocHost(&memory, std::max<size_t>(bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(ErrorCode::kResource, "out of page-locked host memory: {} bytes wanted", bytes);
  }
  check(status, "cudaMallocHost");
  return {static_cast<std::byte*>(memory), [](std::byte* p) { cudaFreeHost(p); }};
}

size_t device_bytes_in_use() { return g_in_use.load(); }
size_t device_bytes_peak() { return g_peak.load(); }

Stream::Stream(Device device) {
  if (device != Device::kCuda) return;
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  stream_ = stream;
}

Stream::~Stream() {
  if (stream_) cudaStreamDestroy(static_cast<cudaStream_t>(stream_));
}

Event::Event(Device device, std::optional<std::chrono::duration<double>> limit) : limit_(limit) {
  if (device != Device::kCuda) return;
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  event_ = event;
}

Event::~Event() {
  if (event_) cudaEventDestroy(static_cast<cudaEvent_t>(event_));
}

void Event::record(const Context& context) {
  if (event_) check(cudaEventRecord(static_cast<cudaEvent_t>(event_), stream_of(context)), "cudaEventRecord");
}

void Event::wait() const {
  if (!event_) return;
  const auto event = static_cast<cudaEvent_t>(event_);
  const char* const what = "the work before an event";
  if (!limit_) return check(cudaEventSynchronize(event), what);
  const auto start = std::chrono::steady_clock::now();
  for (cudaError_t state = cudaEventQuery(event); state != cudaSuccess; state = cudaEventQuery(event)) {
    if (state != cudaErrorNotReady) check(state, what);
    if (std::chrono::steady_clock::now() - start > *limit_) {
      fail(ErrorCode::kResource,
           "this rank's GPU did not come to the end of its step within {:g} s: another rank died or hangs "
           "(where it only needs longer, raise --comm-timeout)",
           limit_->count());
    }
    std::this_thread::yield();
  }
}

Timestamp::Timestamp(Device device) {
  if (device != Device::kCuda) return;
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  event_ = event;
}

Timestamp::~Timestamp() {
  if (event_) cudaEventDestroy(static_cast<cudaEvent_t>(event_));
}

void Timestamp::record(const Context& context) {
  if (!event_) {
    at_ = std::chrono::steady_clock::now();
    return;
  }
  check(cudaEventRecord(static_cast<cudaEvent_t>(event_), stream_of(context)), "cudaEventRecord");
}

std::optional<double> Timestamp::since(const Timestamp& earlier) const {
  if (!event_) return std::chrono::duration<double>(at_ - earlier.at_).count();
  float milliseconds = 0;
  const cudaError_t status = cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(earlier.event_),
                                                  static_cast<cudaEvent_t>(event_));
  if (status == cudaErrorNotReady) {
    cudaGetLastError();  // not a fault that a later call should find
    return std::nullopt;
  }
  check(status, "the work before a timestamp");
  return milliseconds * 1e-3;
}

Graph::~Graph() {
  if (executable_) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_));
}

void Graph::begin(const Context& context) {
  check(cudaStreamBeginCapture(stream_of(context), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
}

void Graph::end(const Context& context) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_of(context), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  // Otherwise the first launch does it, and may then wait for the GPU while another rank waits for that
  // launch.
  const cudaError_t uploaded = cudaGraphUpload(executable, stream_of(context));
  if (uploaded != cudaSuccess) cudaGraphExecDestroy(executable);
  check(uploaded, "cudaGraphUpload");
  if (executable_) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_));
  executable_ = executable;
}

void Graph::abandon(const Context& context) {
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream_of(context), &graph) == cudaSuccess && graph) cudaGraphDestroy(graph);
  cudaGetLastError();
}

void Graph::launch(const Context& context) const {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_), stream_of(context)), "cudaGraphLaunch");
}

void copy_to_device(const Context& context, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  if (context.device == Device::kCpu) {
    std::memcpy(to, from, bytes);
  } else {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(context)), "copy to the device");
  }
}

void copy_to_host(const Context& context, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  if (context.device == Device::kCpu) {
    std::memcpy(to, from, bytes);
  } else {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(context)), "copy to the host");
  }
}

void copy_on_device(const Context& context, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  if (context.device == Device::kCpu) {
    std::memcpy(to, from, bytes);
  } else {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(context)),
          "copy on the device");
  }
}

void fill_zero(const Context& context, void* to, size_t bytes) {
  if (bytes == 0) return;
  if (context.device == Device::kCpu) {
    std::memset(to, 0, bytes);
  } else {
    check(cudaMemsetAsync(to, 0, bytes, stream_of(context)), "fill");
  }
}

void synchronize(const Context& context) {
  if (context.device == Device::kCuda)
    check(cudaStreamSynchronize(stream_of(context)), "the work of a stream");
}

}  // namespace bolide
