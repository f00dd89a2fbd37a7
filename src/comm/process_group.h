#pragma once

#include <exception>
#include <optional>

#include "comm/communicator.h"
#include "comm/dist.h"

namespace bolide {

// One rank's place in a run, and its ways to the others.
struct ProcessGroup {
  Dist dist;
  std::unique_ptr<Transport> world;      // all ranks; null: this one alone
  std::unique_ptr<Communicator> tensor;  // the tensor ranks of this stage; null: this one alone
  std::unique_ptr<Communicator> stages;  // this tensor rank of every stage; null: one stage

  bool alone() const { return world == nullptr; }
  // Of this rank in the world: tensor rank + pipeline rank * tensor size, as FasterTransformer counts.
  int rank() const { return dist.tensor_rank + dist.pipeline_rank * dist.tensor_size; }
  int size() const { return dist.tensor_size * dist.pipeline_size; }
  // How long this rank waits for the others; none when it is alone.
  std::optional<std::chrono::duration<double>> limit() const {
    return alone() ? std::nullopt : std::optional(world->timeout());
  }
  // Ends what waits for this rank, and what of it waits for others, in this process and on the GPU. First of
  // all the reason: whom the rest wakes looks for it.
  void abort(const std::string& reason) const noexcept {
    if (world) world->abort(reason);
    if (tensor) tensor->abort();
    if (stages) stages->abort();
  }
  // The fault to report where this rank has met `own`: that of another rank which is known to have ended
  // before, with `own`, which may be what came of it, behind it.
  std::exception_ptr first_fault(const std::exception_ptr& own) const;
  // Whether what the ranks of a stage do together can be captured in a graph.
  bool capturable() const { return !tensor || tensor->capturable(); }
  // Throws when a rank did not come to what the GPU did with others, see Communicator::check().
  void check() const {
    if (tensor) tensor->check();
    if (stages) stages->check();
  }
};

// By what GPU ranks talk: NCCL, with our own kernels for sums and small gathers where they can and win (the
// default); NCCL alone; or host memory.
enum class AllReduce : uint8_t { kOneShot, kNccl, kHost };
// "one_shot", "nccl", "host"; kUsage for another word.
AllReduce parse_all_reduce(std::string_view name);
// What is possible of it where rank r is on the GPU that gpus[r] names, with the same words for the same GPU
// only: NCCL needs one for each rank, and kernels of ours that wait for another rank's of the same GPU depend
// on what CUDA does not promise. kOneShot then becomes kHost, and `why` says so; kNccl is kUsage. Both name
// the first two ranks that share one. `why` stays empty otherwise.
AllReduce possible_all_reduce(AllReduce wanted, std::span<const std::string> gpus, std::string& why);

// Puts the rank of ranks.world, where there is one, into its groups. On a GPU context.device_index is this
// rank's.
void join_ranks(const Context& context, int tensor_size, int pipeline_size, AllReduce all_reduce,
                ProcessGroup& ranks);

}  // namespace bolide
