#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bolide/engine.h"

namespace bolide {

/// `bolide tune`: which of cuBLASLt's algorithms runs each product of a model fastest on this GPU.
struct TuneOptions {
  /// As it will run; on a GPU. Without a gemm_config; max_batch_size, and max_kv_tokens where it is 0, follow
  /// from the sizes below.
  EngineConfig engine;
  /// Each of these many prompts of each of these lengths run together, prefill and decode, and so does a
  /// prompt of one default chunk alone; the products that go to cuBLASLt on the way are tuned.
  std::vector<int64_t> batch_sizes{1}, input_lens{128};
  bool quick = false;  ///< only what cuBLASLt itself proposes, not what differs from it in one attribute
  std::function<void(int64_t done, int64_t total)> on_progress = {};
};
struct TunedGemm {
  int64_t batch = 0, input_len = 0;  ///< of the run that first met it
  int64_t tokens = 0, out = 0, in = 0;
  std::string epilogue;  ///< "bias, GELU", "bias, added", "fp32", ""
  int64_t candidates = 0;
  double default_seconds = 0;  ///< by cuBLASLt's own first guess
  double best_seconds = 0;
};
struct TuneReport {
  std::string gpu, library;  ///< "NVIDIA H200", "cuBLASLt 130100"
  std::vector<TunedGemm> gemms;
  std::string gemm_config;  ///< the content of a gemm_config.in for EngineConfig::gemm_config
};
/// Throws kUsage for the CPU, which has one kernel for a shape, for deterministic_batching, which leaves
/// cuBLASLt alone, and for sizes at which no product or too many go to cuBLASLt.
TuneReport tune(const TuneOptions& options);

}  // namespace bolide
