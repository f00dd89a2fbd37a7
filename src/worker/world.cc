#include "worker/world.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "comm/launcher.h"
#include "comm/message.h"
#include "machine/resources.h"
#include "tensor/device.h"

namespace bolide {

std::vector<std::unique_ptr<Transport>> join_world(const RankConfig& config) {
  const int ranks = config.ranks();
  const Launch launch = read_launch();
  const auto check_layout = [&] {
    check_model(config.model, {.tensor_size = config.tensor_size, .pipeline_size = config.pipeline_size});
  };
  if (launch.size == 1) {
    if (config.transport != "auto") {
      fail(ErrorCode::kUsage,
           "--transport {} is for ranks in processes of their own, and this process is alone: start it by "
           "mpirun, torchrun or srun, or leave the flag out",
           config.transport);
    }
    if (ranks == 1) return {};
    check_layout();
    return make_thread_transports(ranks, config.comm_timeout);
  }
  if (ranks == 1) {
    fail(ErrorCode::kUsage, "{} processes but 1 rank: add -tp {}, or -pp {}, or start one process",
         launch.size, launch.size, launch.size);
  }
  if (launch.size != ranks) {
    fail(ErrorCode::kUsage, "{} processes but {} ranks (-tp {} x -pp {}): start {} processes", launch.size,
         ranks, config.tensor_size, config.pipeline_size, ranks);
  }
  const bool by_mpi = launch.by == Launch::By::kMpi;
  if (config.transport == "gloo" && launch.address.empty()) {
    fail(ErrorCode::kUsage,
         "--transport gloo needs to know where the processes meet: set MASTER_ADDR and MASTER_PORT");
  }
  if (config.transport == "mpi" && !by_mpi)
    fail(ErrorCode::kUsage, "--transport mpi needs processes that mpirun or srun has started");
  check_layout();
  std::vector<std::unique_ptr<Transport>> mine;
  if (config.transport == "mpi" || (config.transport == "auto" && by_mpi)) {
    mine.push_back(make_mpi_transport(config.comm_timeout));
  } else {
    mine.push_back(make_gloo_transport({.rank = launch.rank, .size = launch.size, .address = launch.address},
                                       config.comm_timeout));
  }
  return mine;
}

std::vector<std::string> tell_all(Transport& world, std::span<const std::byte> mine) {
  MessageWriter list;
  for (const auto& text : world.gather(mine, Channel::kStart))
    list.add(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()));
  const auto told = world.broadcast(list.data(), Channel::kStart);
  MessageReader reader(told, "what the ranks say of themselves");
  std::vector<std::string> texts;
  for (int rank = 0; rank < world.size(); ++rank) texts.push_back(reader.text());
  return texts;
}

Neighbours find_neighbours(Transport* world) {
  if (!world) return {.available_bytes = available_memory()};
  const auto [machine, cores] = this_place();
  MessageWriter mine;
  mine.add(std::string_view(machine));
  mine.add(std::string_view(cores));
  mine.add(available_memory());
  const std::vector<std::string> places = tell_all(*world, mine.data());
  Neighbours found{.local_rank = 0, .ranks_here = 0, .sharing_cores = 0, .ranks = {}};
  for (int rank = 0; rank < world->size(); ++rank) {
    const std::string& place = places[static_cast<size_t>(rank)];
    MessageReader reader(std::as_bytes(std::span(place)), "a rank's machine");
    if (reader.text() != machine) continue;
    found.local_rank += rank < world->rank();
    ++found.ranks_here;
    found.sharing_cores += reader.text() == cores;
    found.ranks.push_back(rank);
    // Each sees its own control group's limit, and the lowest holds for what they have in common.
    const auto available = reader.get<int64_t>();
    if (found.available_bytes == 0 || (available > 0 && available < found.available_bytes))
      found.available_bytes = available;
  }
  return found;
}

int choose_gpu(const std::vector<int>& named, const Neighbours& neighbours) {
  const int ranks_here = neighbours.ranks_here, local_rank = neighbours.local_rank;
  if (named.empty()) {
    // A launcher may show each process a GPU of its own.
    const int seen = cuda_device_count();
    if (local_rank >= seen && seen != 1) {
      fail(ErrorCode::kUsage, "{} ranks run on this machine, a GPU each, and this process sees {}",
           ranks_here, seen);
    }
    return seen == 1 ? 0 : local_rank;
  }
  if (static_cast<int>(named.size()) != ranks_here) {
    fail(ErrorCode::kUsage,
         "--devices names {} GPU(s), and {} rank(s) run on this machine: name one for each, or leave it out",
         named.size(), ranks_here);
  }
  return named[static_cast<size_t>(local_rank)];
}

std::string this_gpu() {
  const DeviceProperties gpu = cuda_properties();
  return fmt::format("the {} at {} of machine {}", gpu.name, gpu.address, this_place().machine);
}

AllReduce choose_all_reduce(AllReduce wanted, Device device, Transport* world) {
  if (!world || device == Device::kCpu) return wanted;
  const std::string mine = this_gpu();
  std::string why;
  const AllReduce possible =
      possible_all_reduce(wanted, tell_all(*world, std::as_bytes(std::span(mine))), why);
  if (!why.empty() && world->rank() == 0) log::warn("{}", why);
  return possible;
}

}  // namespace bolide
