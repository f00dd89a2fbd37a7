#include "comm/process_group.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "tensor/has_cuda.h"

namespace bolide {
namespace {

std::unique_ptr<Communicator> make_group(const Context& context, Transport& world, std::span<const int> group,
                                         Channel channel, AllReduce all_reduce) {
  if (group.size() == 1) return nullptr;
  if constexpr (kHasCuda) {
    if (context.device == Device::kCuda && all_reduce == AllReduce::kHost)
      return make_through_host_communicator(world, group, channel);
    if (context.device == Device::kCuda) {
      auto library = make_nccl_communicator(context, world, group, channel);
      if (all_reduce == AllReduce::kNccl) return library;
      return make_one_shot_communicator(context, world, group, channel, std::move(library));
    }
  }
  (void)all_reduce;
  return make_host_communicator(world, group, channel);
}

}  // namespace

AllReduce parse_all_reduce(std::string_view name) {
  if (name == "one_shot") return AllReduce::kOneShot;
  if (name == "nccl") return AllReduce::kNccl;
  if (name == "host") return AllReduce::kHost;
  fail(ErrorCode::kUsage, "all_reduce is '{}': it must be one_shot, nccl or host", name);
}

AllReduce possible_all_reduce(AllReduce wanted, std::span<const std::string> gpus, std::string& why) {
  if (wanted == AllReduce::kHost) return wanted;
  for (size_t second = 1; second < gpus.size(); ++second) {
    const auto first = std::find(gpus.begin(), gpus.end(), gpus[second]) - gpus.begin();
    if (first == static_cast<std::ptrdiff_t>(second)) continue;
    if (wanted == AllReduce::kNccl) {
      fail(
          ErrorCode::kUsage,
          "--all-reduce nccl: ranks {} and {} share {}, and NCCL needs a GPU for each rank: name others with "
          "--devices, or leave --all-reduce out, and ranks talk by way of host memory, slowly",
          first, second, gpus[second]);
    }
    why = fmt::format("ranks {} and {} share {}: all talk by way of host memory, slowly", first, second,
                      gpus[second]);
    return AllReduce::kHost;
  }
  return wanted;
}

std::exception_ptr ProcessGroup::first_fault(const std::exception_ptr& own) const {
  if (!world) return own;
  try {
    world->check_others();
    return own;
  } catch (const Error& first) {
    try {
      std::rethrow_exception(own);
    } catch (const std::exception& then) {
      if (std::string_view(then.what()) == first.what()) return own;
      return std::make_exception_ptr(
          Error(first.code(), fmt::format("{}; rank {} then: {}", first.what(), world->rank(), then.what())));
    }
  }
}

void join_ranks(const Context& context, int tensor_size, int pipeline_size, AllReduce all_reduce,
                ProcessGroup& ranks) {
  if (ranks.alone()) return;
  BOLIDE_CHECK(ranks.world->size() == tensor_size * pipeline_size);
  ranks.dist = {.tensor_size = tensor_size,
                .tensor_rank = ranks.world->rank() % tensor_size,
                .pipeline_size = pipeline_size,
                .pipeline_rank = ranks.world->rank() / tensor_size};
  std::vector<int> tensor, stages;
  for (int t = 0; t < tensor_size; ++t) tensor.push_back(ranks.dist.pipeline_rank * tensor_size + t);
  for (int s = 0; s < pipeline_size; ++s) stages.push_back(s * tensor_size + ranks.dist.tensor_rank);
  ranks.tensor = make_group(context, *ranks.world, tensor, Channel::kTensor, all_reduce);
  // Stages hand rows on and never sum.
  ranks.stages = make_group(context, *ranks.world, stages, Channel::kPipeline,
                            all_reduce == AllReduce::kOneShot ? AllReduce::kNccl : all_reduce);
}

}  // namespace bolide
