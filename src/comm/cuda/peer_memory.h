#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/transport.h"
#include "tensor/context.h"

namespace bolide::cuda {

// Memory on each rank's GPU that all ranks of a group can write: ranks of one process by plain peer access,
// others through CUDA's IPC.
class PeerMemory {
 public:
  // Every rank calls this with the same `bytes`, and either all get their memory, or none does (null) and
  // `why` gets the reason of the first rank that has one. `cannot`: a reason of the caller's, or empty. The
  // memory is what `initialise` made of it on each rank before any rank has it. Errors as in Transport.
  template <class Initialise>
  static std::unique_ptr<PeerMemory> make(const Context& context, Transport& world,
                                          std::span<const int> group, Channel channel, size_t bytes,
                                          const std::string& cannot, std::string& why,
                                          const Initialise& initialise) {
    std::unique_ptr<PeerMemory> memory = allocate(context, world, group, channel, bytes, cannot, why);
    if (!memory) return nullptr;
    initialise(memory->of(memory->rank_));
    return memory->connect(world, group, channel, why) ? std::move(memory) : nullptr;
  }
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  // Rank `rank` of the group's memory, as this rank addresses it.
  std::byte* of(int rank) const { return static_cast<std::byte*>(of_[static_cast<size_t>(rank)]); }
  // Ranks of the group that are on this rank's GPU, itself among them.
  int sharing() const;
  // Leaves everything as it is until the process ends: after a fault, when a kernel that still runs may use
  // it and freeing would wait for that kernel.
  void leave() { left_ = true; }

 private:
  struct Card;
  PeerMemory() = default;
  static std::unique_ptr<PeerMemory> allocate(const Context& context, Transport& world,
                                              std::span<const int> group, Channel channel, size_t bytes,
                                              const std::string& cannot, std::string& why);
  bool connect(Transport& world, std::span<const int> group, Channel channel, std::string& why);

  int rank_ = 0;
  std::vector<Card> cards_;
  std::vector<void*> of_;  // null: not connected
  bool left_ = false;
};

}  // namespace bolide::cuda
