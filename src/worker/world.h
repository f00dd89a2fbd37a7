#pragma once

#include "worker/rank_config.h"

namespace bolide {

// The ranks that `config` and this process's environment ask for, as far as they run in this process: all, as
// threads, rank 0 first; or the one of this process; none for one rank alone. kUsage where the two do not
// agree.
std::vector<std::unique_ptr<Transport>> join_world(const RankConfig& config);

// Every rank's text, by rank. All call it together, before there are steps.
std::vector<std::string> tell_all(Transport& world, std::span<const std::byte> mine);

// The ranks of this rank's machine: ranks that are threads or processes, and see the same memory and GPUs.
struct Neighbours {
  int local_rank = 0, ranks_here = 1;
  int sharing_cores = 1;  // of those, which may use the same cores
  std::vector<int> ranks = {0};
  int64_t available_bytes = 0;  // of memory, before any of them has loaded; 0: not known
};
// All ranks call it together; null: this one alone.
Neighbours find_neighbours(Transport* world);

// Which GPU this rank takes. kUsage where there are too few, or not as many as were named.
int choose_gpu(const std::vector<int>& named, const Neighbours& neighbours);
// The calling thread's GPU, with the same words for the same GPU only.
std::string this_gpu();
// Every rank finds the same. Rank 0 says when it is not what was asked for.
AllReduce choose_all_reduce(AllReduce wanted, Device device, Transport* world);

}  // namespace bolide
