#include "comm/cuda/peer_memory.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "comm/cuda/exchange.h"
#include "tensor/cuda/check.h"
#include "tensor/device.h"

namespace bolide::cuda {
namespace {

// A text that travels. What is longer is cut.
struct Text {
  char data[160] = {};
  Text() = default;
  explicit Text(const std::string& text) { std::strncpy(data, text.c_str(), sizeof(data) - 1); }
  std::string str() const { return {data, strnlen(data, sizeof(data))}; }
};

// "" when no rank gave a reason, else the first one's.
std::string first_reason(Transport& world, std::span<const int> group, Channel channel,
                         const std::string& mine) {
  const std::vector<Text> all = exchange(world, group, channel, Text(mine));
  for (size_t i = 0; i < all.size(); ++i)
    if (const std::string reason = all[i].str(); !reason.empty())
      return fmt::format("{} (rank {})", reason, group[i]);
  return "";
}

// The name and the boot of this host: containers of one host that have different names count as two, for the
// driver does not connect them.
std::string host_name() {
  char name[96] = {};
  gethostname(name, sizeof(name) - 1);
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  return fmt::format("{} {}", name, boot);
}

// Process ids of two containers may be equal.
uint64_t process_token() {
  static const uint64_t token = [] {
    std::random_device random;
    return static_cast<uint64_t>(random()) << 32 | random();
  }();
  return token;
}

cudaUUID_t uuid_of(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.uuid;
}

bool same(const cudaUUID_t& a, const cudaUUID_t& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

// As this process counts devices; -1 when it does not see it.
int device_of(const cudaUUID_t& uuid) {
  for (int device = 0; device < cuda_device_count(); ++device)
    if (same(uuid_of(device), uuid)) return device;
  return -1;
}

std::string problem(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return "";
  cudaGetLastError();
  return fmt::format("{}: {}", what, cudaGetErrorString(status));
}

}  // namespace

struct PeerMemory::Card {
  Text host;
  uint64_t process = 0;
  cudaUUID_t uuid = {};
  int device = 0;
  // Once allocated:
  void* pointer = nullptr;
  cudaIpcMemHandle_t handle = {};

  bool same_process(const Card& other) const { return process == other.process; }
};

std::unique_ptr<PeerMemory> PeerMemory::allocate(const Context& context, Transport& world,
                                                 std::span<const int> group, Channel channel, size_t bytes,
                                                 const std::string& cannot, std::string& why) {
  use_cuda_device(context.device_index);
  Card mine;
  mine.host = Text(host_name());
  mine.process = process_token();
  mine.uuid = uuid_of(context.device_index);
  mine.device = context.device_index;
  std::vector<Card> cards = exchange(world, group, channel, mine);

  std::string reason = cannot;
  for (size_t i = 0; i < cards.size() && reason.empty(); ++i) {
    const Card& card = cards[i];
    if (card.host.str() != mine.host.str()) {
      reason = fmt::format("rank {} is on another host", group[i]);
      continue;
    }
    // A GPU that this process does not see may still open, or say why not.
    const int device = device_of(card.uuid);
    int reached = 1;
    if (device >= 0 && device != mine.device)
      check(cudaDeviceCanAccessPeer(&reached, mine.device, device), "cudaDeviceCanAccessPeer");
    if (!reached) reason = fmt::format("its GPU does not reach the memory of rank {}'s", group[i]);
  }
  // Two MiB is what cudaMalloc() divides: memory of its own, so that a handle gives nothing else away.
  constexpr size_t kWhole = size_t{2} << 20;
  bytes = (bytes + kWhole - 1) / kWhole * kWhole;
  // Not allocate_device(): what comes from CUDA's pool has no handle, and other GPUs do not see it.
  if (reason.empty()) reason = problem(cudaMalloc(&mine.pointer, bytes), "cudaMalloc");
  const bool alone =
      std::all_of(cards.begin(), cards.end(), [&](const Card& c) { return c.same_process(mine); });
  if (reason.empty() && !alone)
    reason = problem(cudaIpcGetMemHandle(&mine.handle, mine.pointer), "cudaIpcGetMemHandle");

  why = first_reason(world, group, channel, reason);
  if (!why.empty()) {
    if (mine.pointer) cudaFree(mine.pointer);
    return nullptr;
  }
  std::unique_ptr<PeerMemory> memory(new PeerMemory);
  memory->rank_ = rank_in(group, world);
  memory->of_.resize(group.size());
  memory->of_[static_cast<size_t>(memory->rank_)] = mine.pointer;
  memory->cards_.assign(group.size(), mine);  // so that the destructor knows which is this rank's
  memory->cards_ = exchange(world, group, channel, mine);
  return memory;
}

bool PeerMemory::connect(Transport& world, std::span<const int> group, Channel channel, std::string& why) {
  const Card& mine = cards_[static_cast<size_t>(rank_)];
  std::string reason;
  for (size_t i = 0; i < cards_.size() && reason.empty(); ++i) {
    const Card& card = cards_[i];
    if (static_cast<int>(i) == rank_) continue;
    if (card.same_process(mine)) {
      if (card.device != mine.device) {
        cudaError_t status = cudaDeviceEnablePeerAccess(card.device, 0);
        if (status == cudaErrorPeerAccessAlreadyEnabled) {
          cudaGetLastError();
          status = cudaSuccess;
        }
        reason = problem(status, "cudaDeviceEnablePeerAccess");
      }
      if (reason.empty()) of_[i] = card.pointer;
    } else {
      reason = problem(cudaIpcOpenMemHandle(&of_[i], card.handle, cudaIpcMemLazyEnablePeerAccess),
                       "cudaIpcOpenMemHandle");
      if (!reason.empty()) of_[i] = nullptr;
    }
  }
  why = first_reason(world, group, channel, reason);
  return why.empty();
}

int PeerMemory::sharing() const {
  const Card& mine = cards_[static_cast<size_t>(rank_)];
  return static_cast<int>(std::count_if(cards_.begin(), cards_.end(),
                                        [&](const Card& card) { return same(card.uuid, mine.uuid); }));
}

// The exporter may free before others have closed: nobody uses the memory by then, and the driver keeps it
// until they have. A farewell among ranks could only add a way to wait for one that died.
PeerMemory::~PeerMemory() {
  if (left_) return;
  const Card& mine = cards_[static_cast<size_t>(rank_)];
  int before = 0;
  cudaGetDevice(&before);
  cudaSetDevice(mine.device);
  cudaDeviceSynchronize();
  for (size_t i = 0; i < of_.size(); ++i) {
    if (!of_[i]) continue;
    if (static_cast<int>(i) == rank_) {
      cudaFree(of_[i]);
    } else if (!cards_[i].same_process(mine)) {
      cudaIpcCloseMemHandle(of_[i]);
    }
  }
  cudaSetDevice(before);
}

}  // namespace bolide::cuda
