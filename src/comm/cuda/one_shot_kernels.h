#pragma once

#include <cstdint>

#include "tensor/context.h"

// Sums over the GPUs of one host, and gathers, by kernels that write into each other's memory.
//
// What travels are packets of 16 bytes, each word of which says by itself whether it has come: a slot holds
// kNothing until a packet arrives, and whoever has read the packet writes kNothing back. So no flag follows
// the data, and no write waits for another to be acknowledged. kNothing is -0.0f, or (+0, -0) as two halves;
// data with that word sends zeros instead, which are equal in value, and every rank sums what was sent. What
// is gathered comes to the bit: three words of a packet are data, and the fourth says which of them were
// kNothing.
//
// Each call uses one half of the memory, the next call the other. A rank that has finished call k+1 has heard
// of every rank in it, so that all have finished call k: in call k+2 it may write into the half of call k.
// Which half, a counter on the device says that the kernels themselves advance: a captured call is right
// whenever it is replayed. Calls differ in size, type and kind as they like.
namespace bolide::cuda {

inline constexpr int kMaxPeerRanks = 8;
inline constexpr int kPeerPacketBytes = 16;
inline constexpr int kGatherWords = 3;  // of data in a packet
// Blocks of one call, each with a counter of its own: block b keeps those of b, b + blocks, ..., so that all
// of them always count the calls and no block waits for another.
inline constexpr int kMaxPeerBlocks = 512;

// Pinned host memory in which kernels and host tell each other of faults. Zeroed at the start.
struct PeerFault {
  uint32_t silent;  // 1 + the rank of the group for which a kernel has waited in vain
  uint32_t stop;    // not 0: the host wants kernels to wait no longer
};

struct PeerGroup {
  void* regions[kMaxPeerRanks] = {};  // by rank: memory that all ranks may write, kNothing at the start
  uint32_t half_packets;              // in each of the two halves of a region
  uint32_t* calls;                    // [kMaxPeerBlocks] on this GPU, zeroed at the start
  PeerFault* fault;
  uint64_t limit_ns;  // how long a kernel waits for another rank's
  int ranks, rank;
  int most_blocks;  // of a call: as many as surely find room on the GPU at once; at most kMaxPeerBlocks
};

// Packets of a half that a call needs.
constexpr uint64_t one_shot_packets(uint64_t packets, int ranks) {
  return packets * static_cast<uint64_t>(ranks - 1);
}
constexpr uint64_t two_shot_part(uint64_t packets, int ranks) {
  return (packets + static_cast<uint64_t>(ranks) - 1) / static_cast<uint64_t>(ranks);
}
constexpr uint64_t two_shot_packets(uint64_t packets, int ranks) {
  return 2 * two_shot_part(packets, ranks) * static_cast<uint64_t>(ranks - 1);
}

constexpr uint64_t gather_packets(uint64_t bytes, int ranks) {
  constexpr uint64_t kBytes = kGatherWords * sizeof(uint32_t);
  return one_shot_packets((bytes + kBytes - 1) / kBytes, ranks);
}

struct PeerReduction {
  void* x;        // [count] of dtype, any alignment of elements
  DType dtype;    // fp32, fp16 or bf16
  int64_t count;  // 1 to 2^31 - 1
  // Null: x = the sum. Otherwise y[i] += the sum, rounded to dtype, + bias[(first + i) % hidden], and x
  // stays.
  float* y = nullptr;
  const float* bias = nullptr;  // [hidden], or null
  int64_t hidden = 1;
  int64_t first = 0;
};
// Every rank sends all of x to all others and sums everything: one hop.
void one_shot_reduce(const Context& context, const PeerGroup& group, const PeerReduction& reduction);
// Every rank sums its part of x and sends it to all others: two hops, and 2 (n - 1) / n of x sent instead of
// n - 1. The same bits as of one_shot_reduce().
void two_shot_reduce(const Context& context, const PeerGroup& group, const PeerReduction& reduction);

// y [ranks, bytes] = every rank's x [bytes], any alignment; x may be its place in y. 1 byte or more. One hop.
void one_shot_gather(const Context& context, const PeerGroup& group, const void* x, void* y, size_t bytes);

// PeerGroup::most_blocks where `sharing` ranks are on this GPU: one, except in tests, where a rank's blocks
// and those of the kernel behind them must leave room for the other ranks', for which they wait.
int most_peer_blocks(int sharing);
// kNothing into packets of this GPU's memory.
void empty_packets(const Context& context, void* packets, int64_t count);
// Loads all kernels of above now: loading one later might wait for a kernel that waits for this rank.
void load_peer_kernels();

}  // namespace bolide::cuda
