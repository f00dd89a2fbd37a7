#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "comm/process_group.h"
#include "models/load_model.h"

namespace bolide {

// What the ranks of a run are asked for, the same for all of them. Made of an EngineConfig in one place
// (engine/resolve.h), and right from then on: nobody below parses a word or looks for a default again. What
// 0 or an empty list leaves open only a rank that knows its machine and its neighbours can tell.
struct RankConfig {
  ModelOptions model = {};  // without what a rank knows of its neighbours
  Device device = Device::kCpu;
  std::vector<int> gpus = {};  // one for each rank of this host; empty: from 0 on
  int tensor_size = 1, pipeline_size = 1;
  std::string transport = "auto";  // or "mpi", "gloo"
  std::chrono::duration<double> comm_timeout{60};
  AllReduce all_reduce = AllReduce::kOneShot;
  int threads = 0;  // 0: this rank's share of the cores
  int64_t max_batch_size = 64;
  int64_t chunk_tokens = 512;  // prompt tokens that a step takes in
  int64_t max_kv_tokens = 0;   // 0: what memory allows
  int64_t page_size = 16;
  double kv_cache_fraction = 0.9;
  bool deterministic = false;
  bool graphs = true;
  std::optional<std::filesystem::path> gemm_config = {};  // the file to follow

  int ranks() const { return tensor_size * pipeline_size; }
};

// The words of flags and of ModelInfo.
constexpr std::string_view name_of(Device device) { return device == Device::kCpu ? "cpu" : "cuda"; }
constexpr std::string_view name_of(AllReduce how) {
  return how == AllReduce::kOneShot ? "one_shot" : how == AllReduce::kNccl ? "nccl" : "host";
}

}  // namespace bolide
