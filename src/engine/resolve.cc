#include "engine/resolve.h"

#include <limits>

#include "base/error.h"
#include "machine/resources.h"
#include "ops/limits.h"
#include "tensor/device.h"
#include "tensor/has_cuda.h"
#include "worker/gemm_config.h"

namespace bolide {
namespace {

void check_at_least_1(const char* field, int64_t value) {
  if (value < 1) fail(ErrorCode::kUsage, "{} is {}: it must be at least 1", field, value);
}

void check_automatic(const char* field, int64_t value) {
  if (value < 0) fail(ErrorCode::kUsage, "{} is {}: it must be 0 (automatic) or more", field, value);
}

void resolve_sizes(const EngineConfig& asked, RankConfig& config) {
  check_at_least_1("max_batch_size", asked.max_batch_size);
  check_automatic("max_chunk_tokens", asked.max_chunk_tokens);
  check_at_least_1("page_size", asked.page_size);
  check_automatic("max_kv_tokens", asked.max_kv_tokens);
  // Positions, offsets and page ids are 32-bit in a Batch.
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max() / 4;
  const auto check_at_most = [&](const char* field, int64_t value) {
    if (value > kMax) fail(ErrorCode::kUsage, "{} is {}: it must be at most {}", field, value, kMax);
  };
  check_at_most("max_batch_size", asked.max_batch_size);
  check_at_most("max_chunk_tokens", asked.max_chunk_tokens);
  check_at_most("page_size", asked.page_size);
  check_at_most("max_kv_tokens", asked.max_kv_tokens);
  config.max_batch_size = asked.max_batch_size;
  config.chunk_tokens =
      asked.max_chunk_tokens > 0 ? asked.max_chunk_tokens : default_chunk_tokens(config.device);
  config.max_kv_tokens = asked.max_kv_tokens;
  config.page_size = asked.page_size;
}

void resolve_ranks(const EngineConfig& asked, RankConfig& config) {
  for (const int device : asked.devices)
    if (device < 0) fail(ErrorCode::kUsage, "devices has {}: a GPU's number is 0 or more", device);
  config.gpus = asked.devices;
  constexpr int kMaxRanks = 1024;
  check_at_least_1("tensor_para_size", asked.tensor_para_size);
  check_at_least_1("pipeline_para_size", asked.pipeline_para_size);
  if (asked.tensor_para_size > kMaxRanks / asked.pipeline_para_size) {
    fail(ErrorCode::kUsage, "tensor_para_size {} x pipeline_para_size {} makes more than {} ranks",
         asked.tensor_para_size, asked.pipeline_para_size, kMaxRanks);
  }
  config.tensor_size = asked.tensor_para_size;
  config.pipeline_size = asked.pipeline_para_size;
  check_automatic("micro_batch_tokens", asked.micro_batch_tokens);
  if (!(asked.comm_timeout > 0) || asked.comm_timeout > 1e6)
    fail(ErrorCode::kUsage, "comm_timeout is {}: it must be above 0 and at most 1,000,000 seconds",
         asked.comm_timeout);
  config.comm_timeout = std::chrono::duration<double>(asked.comm_timeout);
  if (asked.transport != "auto" && asked.transport != "mpi" && asked.transport != "gloo")
    fail(ErrorCode::kUsage, "transport is '{}': it must be auto, mpi or gloo", asked.transport);
  config.transport = asked.transport;
  config.all_reduce = parse_all_reduce(asked.all_reduce);
  if (config.all_reduce == AllReduce::kNccl && config.device == Device::kCpu)
    fail(ErrorCode::kUsage, "all_reduce is 'nccl', which is for GPUs: leave it out, or take device cuda");
}

// What a grid of a GPU's kernels can hold (ops/limits.h).
void check_for_gpu(const EngineConfig& asked) {
  if (asked.max_batch_size > kMaxGpuSequences) {
    fail(ErrorCode::kUsage, "max_batch_size is {}: on a GPU it must be at most {}", asked.max_batch_size,
         kMaxGpuSequences);
  }
  if (asked.max_chunk_tokens > kMaxGpuChunk) {
    fail(ErrorCode::kUsage, "max_chunk_tokens is {}: on a GPU it must be at most {}", asked.max_chunk_tokens,
         kMaxGpuChunk);
  }
}

// Of an engine that asks cuBLASLt for the products that a file is made for: ranks that share a layer have
// other shapes, a scheme that widens W cuts it, and deterministic engines leave the
// library alone.
void resolve_gemm_config(const EngineConfig& asked, RankConfig& config) {
  const bool cpu = config.device == Device::kCpu;
  const bool whole = config.model.scheme->library_gets_whole_products;
  if (!asked.gemm_config.empty() && asked.gemm_config != "none") {
    if (cpu)
      fail(ErrorCode::kUsage, "gemm_config is for GPUs: the CPU has one kernel for a shape; leave it out");
    if (config.tensor_size > 1) {
      fail(ErrorCode::kUsage,
           "gemm_config is for products of whole layers, and tensor_para_size {} divides them: leave it out",
           config.tensor_size);
    }
    if (!whole) {
      fail(ErrorCode::kUsage, "gemm_config does nothing with weight_scheme {}: leave it out",
           asked.weight_scheme);
    }
    if (config.deterministic) {
      fail(ErrorCode::kUsage,
           "gemm_config and deterministic_batching exclude each other: that leaves cuBLASLt alone");
    }
  }
  if (!cpu && whole && config.tensor_size == 1 && !config.deterministic)
    config.gemm_config = find_gemm_config(asked.gemm_config);
}

}  // namespace

Device parse_device(std::string_view name) {
  if (name == "cpu") return Device::kCpu;
  if (name != "cuda") fail(ErrorCode::kUsage, "unknown device '{}': use cpu or cuda", name);
  if constexpr (!kHasCuda)
    fail(ErrorCode::kUsage,
         "device 'cuda': built without CUDA, rebuild with `cmake --preset cuda`, or use cpu");
  if (cuda_device_count() == 0)
    fail(ErrorCode::kUsage, "device 'cuda' is not there: this process sees no GPU (or no driver); use cpu");
  return Device::kCuda;
}

int64_t default_chunk_tokens(Device device) {
  // A GPU needs more rows than a CPU to be busy while it reads the weights once.
  return device == Device::kCpu ? 512 : 2048;
}

void check_threads(int threads) {
  // Teams of many times the cores wait for each other at every op: 4096 threads on two cores never end. And
  // beyond some thousands OpenMP would abort the process instead of failing.
  constexpr int kPerCore = 16, kMaxThreads = 4096;
  const int most = std::min(kMaxThreads, kPerCore * machine_cores());
  if (threads < 0 || threads > most) {
    fail(ErrorCode::kUsage,
         "threads is {}: it must be between 0 (all cores) and {}, {} for each core of this machine", threads,
         most, kPerCore);
  }
}

RankConfig resolve(const EngineConfig& asked) {
  RankConfig config;
  config.device = parse_device(asked.device);
  config.model.path = asked.model;
  config.model.dummy = asked.load_format == LoadFormat::kDummy;
  config.model.on_load = asked.on_load;
  if (!asked.data_type.empty()) config.model.data_type = parse_data_type(asked.data_type);
  config.model.scheme = &find_weight_scheme(asked.weight_scheme);
  check_threads(asked.threads);
  config.threads = asked.threads;
  resolve_sizes(asked, config);
  resolve_ranks(asked, config);
  if (config.device == Device::kCuda) check_for_gpu(asked);
  if (!(asked.kv_cache_fraction > 0 && asked.kv_cache_fraction <= 1)) {
    fail(ErrorCode::kUsage, "kv_cache_fraction is {}: it must be above 0 and at most 1",
         asked.kv_cache_fraction);
  }
  config.kv_cache_fraction = asked.kv_cache_fraction;
  config.deterministic = asked.deterministic_batching;
  config.graphs = asked.cuda_graphs;
  resolve_gemm_config(asked, config);
  if (config.deterministic && config.device == Device::kCpu)
    fail(ErrorCode::kUsage, "deterministic_batching is not available on the CPU: leave it off");
  return config;
}

}  // namespace bolide
