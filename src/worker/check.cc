#include "worker/check.h"

#include <limits>

#include "comm/ranks.h"
#include "decode/sampling.h"
#include "machine/resources.h"
#include "ops/limits.h"
#include "quant/weight_scheme.h"
#include "tensor/device.h"

namespace bolide {
namespace {

void check_at_least_1(const char* field, int64_t value) {
  if (value < 1) fail(ErrorCode::kUsage, "{} is {}: it must be at least 1", field, value);
}

std::vector<int32_t> prompt_ids(const Request& request, const Tokenizer* tokenizer) {
  if (request.prompt.empty()) return request.input_ids;
  if (!request.input_ids.empty())
    fail(ErrorCode::kUsage, "a request has both a prompt and input_ids: give one of them");
  if (!tokenizer) {
    fail(ErrorCode::kUsage,
         "a text prompt needs a tokenizer, and the model's folder has none: give input_ids, or the folder of "
         "a tokenizer (--tokenizer-path)");
  }
  return tokenizer->encode(request.prompt).ids;
}

void check_length(const Request& request, int64_t prompt, int64_t max_positions,
                  const SchedulerConfig& scheduler) {
  if (request.max_new_tokens < 0)
    fail(ErrorCode::kUsage, "max_new_tokens is {}: it must be 0 or more", request.max_new_tokens);
  if (request.max_new_tokens == 0 && !request.return_logits)
    fail(ErrorCode::kUsage,
         "max_new_tokens is 0: it must be at least 1, unless logits alone are wanted (return_logits)");
  const int64_t total = prompt + request.max_new_tokens;
  if (max_positions > 0 && total > max_positions) {
    fail(ErrorCode::kUsage,
         "a prompt of {} tokens and {} new ones exceed the {} positions of the model: shorten one of them",
         prompt, request.max_new_tokens, max_positions);
  }
  if (scheduler.pages_of(total, prompt) > scheduler.pages) {
    fail(ErrorCode::kUsage,
         "a prompt of {} tokens and {} new ones exceed the cache of {} tokens: shorten one of them, or raise "
         "max_kv_tokens",
         prompt, request.max_new_tokens, scheduler.pages * scheduler.page_size);
  }
  if (total > kMaxSequenceTokens) {
    fail(ErrorCode::kUsage, "a prompt of {} tokens and {} new ones exceed the {} that a text can have",
         prompt, request.max_new_tokens, kMaxSequenceTokens);
  }
}

void check_ranks(const EngineConfig& config) {
  constexpr int kMaxRanks = 1024;
  check_at_least_1("tensor_para_size", config.tensor_para_size);
  check_at_least_1("pipeline_para_size", config.pipeline_para_size);
  if (config.tensor_para_size > kMaxRanks / config.pipeline_para_size) {
    fail(ErrorCode::kUsage, "tensor_para_size {} x pipeline_para_size {} makes more than {} ranks",
         config.tensor_para_size, config.pipeline_para_size, kMaxRanks);
  }
  if (config.micro_batch_tokens < 0)
    fail(ErrorCode::kUsage, "micro_batch_tokens is {}: it must be 0 (automatic) or more",
         config.micro_batch_tokens);
  if (!(config.comm_timeout > 0) || config.comm_timeout > 1e6)
    fail(ErrorCode::kUsage, "comm_timeout is {}: it must be above 0 and at most 1,000,000 seconds",
         config.comm_timeout);
  if (config.transport != "auto" && config.transport != "mpi" && config.transport != "gloo")
    fail(ErrorCode::kUsage, "transport is '{}': it must be auto, mpi or gloo", config.transport);
  if (parse_all_reduce(config.all_reduce) == AllReduce::kNccl && parse_device(config.device) == Device::kCpu)
    fail(ErrorCode::kUsage, "all_reduce is 'nccl', which is for GPUs: leave it out, or take device cuda");
}

// What a grid of a GPU's kernels can hold (ops/limits.h).
void check_for_gpu(const EngineConfig& config) {
  if (config.max_batch_size > kMaxGpuSequences) {
    fail(ErrorCode::kUsage, "max_batch_size is {}: on a GPU it must be at most {}", config.max_batch_size,
         kMaxGpuSequences);
  }
  if (config.max_chunk_tokens > kMaxGpuChunk) {
    fail(ErrorCode::kUsage, "max_chunk_tokens is {}: on a GPU it must be at most {}", config.max_chunk_tokens,
         kMaxGpuChunk);
  }
}

}  // namespace

void check_model_fits(const ModelConfig& model, Device device) {
  if (model.head_size > kMaxHeadSize) {
    fail(ErrorCode::kUnsupported,
         "the model's heads have a size of {}, and attention computes with {} at most", model.head_size,
         kMaxHeadSize);
  }
  if (device == Device::kCuda && model.vocab_size > kMaxGpuVocab) {
    fail(ErrorCode::kUnsupported,
         "the model's vocabulary has {} ids, and a GPU draws from {} at most: use the CPU", model.vocab_size,
         kMaxGpuVocab);
  }
}

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

int64_t resolve_chunk_tokens(Device device, int64_t max_chunk_tokens) {
  if (max_chunk_tokens > 0) return max_chunk_tokens;
  // A GPU needs more rows than a CPU to be busy while it reads the weights once.
  return device == Device::kCpu ? 512 : 2048;
}

int resolve_threads(int threads, int sharing) {
  // Teams of many times the cores wait for each other at every op: 4096 threads on two cores never end. And
  // beyond some thousands OpenMP would abort the process instead of failing.
  constexpr int kPerCore = 16, kMaxThreads = 4096;
  const int most = std::min(kMaxThreads, kPerCore * machine_cores());
  if (threads < 0 || threads > most) {
    fail(ErrorCode::kUsage,
         "threads is {}: it must be between 0 (all cores) and {}, {} for each core of this machine", threads,
         most, kPerCore);
  }
  return threads > 0 ? threads : std::max(usable_cores() / sharing, 1);
}

void check_config(const EngineConfig& config) {
  parse_device(config.device);
  if (!config.data_type.empty()) parse_data_type(config.data_type);
  find_weight_scheme(config.weight_scheme);
  resolve_threads(config.threads);
  check_at_least_1("max_batch_size", config.max_batch_size);
  if (config.max_chunk_tokens < 0)
    fail(ErrorCode::kUsage, "max_chunk_tokens is {}: it must be 0 (automatic) or more",
         config.max_chunk_tokens);
  check_at_least_1("page_size", config.page_size);
  if (config.max_kv_tokens < 0)
    fail(ErrorCode::kUsage, "max_kv_tokens is {}: it must be 0 (automatic) or more", config.max_kv_tokens);
  // Positions, offsets and page ids are 32-bit in a Batch.
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max() / 4;
  const auto check_at_most = [&](const char* field, int64_t value) {
    if (value > kMax) fail(ErrorCode::kUsage, "{} is {}: it must be at most {}", field, value, kMax);
  };
  check_at_most("max_batch_size", config.max_batch_size);
  check_at_most("max_chunk_tokens", config.max_chunk_tokens);
  check_at_most("page_size", config.page_size);
  check_at_most("max_kv_tokens", config.max_kv_tokens);
  for (const int device : config.devices)
    if (device < 0) fail(ErrorCode::kUsage, "devices has {}: a GPU's number is 0 or more", device);
  check_ranks(config);
  if (parse_device(config.device) == Device::kCuda) check_for_gpu(config);
  if (!(config.kv_cache_fraction > 0 && config.kv_cache_fraction <= 1)) {
    fail(ErrorCode::kUsage, "kv_cache_fraction is {}: it must be above 0 and at most 1",
         config.kv_cache_fraction);
  }
  if (!config.gemm_config.empty() && config.gemm_config != "none") {
    if (parse_device(config.device) == Device::kCpu)
      fail(ErrorCode::kUsage, "gemm_config is for GPUs: the CPU has one kernel for a shape; leave it out");
    if (config.tensor_para_size > 1) {
      fail(ErrorCode::kUsage,
           "gemm_config is for products of whole layers, and tensor_para_size {} divides them: leave it out",
           config.tensor_para_size);
    }
    if (config.weight_scheme != kDenseScheme.name) {
      fail(ErrorCode::kUsage, "gemm_config is for dense weights, not for weight_scheme {}: leave it out",
           config.weight_scheme);
    }
    if (config.deterministic_batching) {
      fail(ErrorCode::kUsage,
           "gemm_config and deterministic_batching exclude each other: that leaves cuBLASLt alone");
    }
  }
  if (config.deterministic_batching && parse_device(config.device) == Device::kCpu)
    fail(ErrorCode::kUsage, "deterministic_batching is not available on the CPU: leave it off");
}

std::vector<int32_t> check_request(const Request& request, const ModelConfig& model,
                                   const Tokenizer* tokenizer, const SchedulerConfig& scheduler) {
  check_sampling(request.sampling);
  for (const int32_t id : request.end_ids.value_or(std::vector<int32_t>())) {
    if (id < 0 || id >= model.vocab_size)
      fail(ErrorCode::kUsage, "end id {} is outside the vocabulary of {} ids", id, model.vocab_size);
  }
  if (!request.stop.empty() && !tokenizer)
    fail(ErrorCode::kUsage, "stop strings need a tokenizer, and the model has none");
  for (const std::string& stop : request.stop) {
    if (stop.empty()) fail(ErrorCode::kUsage, "a stop string is empty: it would end every text at once");
  }
  std::vector<int32_t> ids = prompt_ids(request, tokenizer);
  if (ids.empty()) fail(ErrorCode::kUsage, "the prompt is empty: give at least one token");
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= model.vocab_size) {
      fail(ErrorCode::kUsage, "token id {} (number {} of the prompt) is outside the vocabulary of {} ids",
           ids[i], i, model.vocab_size);
    }
  }
  check_length(request, static_cast<int64_t>(ids.size()), model.max_positions, scheduler);
  return ids;
}

}  // namespace bolide
