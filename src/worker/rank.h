#pragma once

#include <functional>
#include <thread>

#include "worker/rank_config.h"
#include "worker/worker.h"

namespace bolide {

// What one rank runs with, once loaded.
struct RankParts {
  ProcessGroup ranks;
  std::unique_ptr<Model> model;
  DType data_type = DType::kF32;         // of the weights, and of the cache
  DType checkpoint_dtype = DType::kF32;  // of the files
  int64_t weight_bytes = 0;              // of this rank
  // Of all ranks together: see ModelInfo.
  int64_t gemm_parameters = 0, gemm_bytes = 0, head_parameters = 0;
  int ranks_here = 1;  // that share this machine's memory
  int threads = 1;
  int device_index = 0;  // which GPU
  bool random_weights = false;
  int64_t tuned_gemms = 0;
  double load_seconds = 0;
  int64_t logit_block_bytes = WorkerConfig::kLogitBlockBytes;
};

// kUnsupported for a model that no kernel of the device computes with: why. Before its weights are read.
void check_model_fits(const ModelShape& model, Device device);
// kUnsupported for a model that declares caches or abilities which no worker drives: which.
void check_driven(const Model& model);

// From files to one rank: its groups, its part of the weights. `world` null: one rank alone.
RankParts load_rank(const RankConfig& config, std::unique_ptr<Transport> world);
// The rank with the memory that it runs with, but its parts, which must outlive it. All ranks call it
// together: they agree on the size of the cache, which is what the rank with the least memory can have, learn
// how many bytes of weights they all hold, and return once all have what they need. kResource where one
// cannot.
std::unique_ptr<Worker> make_worker(RankParts& parts, const RankConfig& config, int64_t& total_weight_bytes);

// Runs the steps that rank 0 announces until that stops. Throws what a step throws, and what Transport throws
// when another rank is gone; the others then know.
void serve_rank(RankParts&& parts, const RankConfig& config);

// The ranks of this process but the first, a thread each.
class Followers {
 public:
  // Each runs one rank from loading to its end, and tells the others of a fault through its transport: what
  // leaves it is of no more use. kResource, and none has run, where the system refuses a thread.
  explicit Followers(std::vector<std::function<void()>> ranks);
  // Waits for their end: rank 0 must have stopped them, or be gone.
  ~Followers();
  Followers(const Followers&) = delete;
  Followers& operator=(const Followers&) = delete;

 private:
  void join();
  std::vector<std::thread> threads_;
};

}  // namespace bolide
