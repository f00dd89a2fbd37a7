#include <algorithm>

#include "comm/cuda/one_shot_kernels.h"
#include "ops/cuda/device/grid.cuh"
#include "ops/cuda/device/scalar.cuh"
#include "ops/cuda/launch.h"

namespace bolide::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 2;
constexpr uint32_t kNothing = 0x80000000u;
// Two ranks: one other. More: room for seven others.
constexpr int kManyPeers = kMaxPeerRanks - 1;

// Each word for itself is whole or not there: no order among the four is needed.
__device__ __forceinline__ uint4 read_packet(const uint4* from) {
  uint4 packet;
  asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(packet.x), "=r"(packet.y), "=r"(packet.z), "=r"(packet.w)
               : "l"(__cvta_generic_to_global(from))
               : "memory");
  return packet;
}
__device__ __forceinline__ void write_packet(uint4* to, uint4 packet) {
  asm volatile("st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
               "r"(packet.x), "r"(packet.y), "r"(packet.z), "r"(packet.w)
               : "memory");
}
__device__ __forceinline__ void empty_packet(uint4* at) {
  write_packet(at, {kNothing, kNothing, kNothing, kNothing});
}
__device__ __forceinline__ bool has_come(uint4 packet) {
  return packet.x != kNothing && packet.y != kNothing && packet.z != kNothing && packet.w != kNothing;
}
// As it is sent.
__device__ __forceinline__ uint4 sendable(uint4 packet) {
  if (packet.x == kNothing) packet.x = 0;
  if (packet.y == kNothing) packet.y = 0;
  if (packet.z == kNothing) packet.z = 0;
  if (packet.w == kNothing) packet.w = 0;
  return packet;
}

// The counterpart of PeerReduction.
template <class T>
struct Work {
  T* x;
  float* y;
  const float* bias;
  uint32_t count, hidden, first;
  uint32_t packets;
};

// In kernels with kVectors every packet is full, and it and what belongs to it of y and bias lie on 16 bytes.
// The others take elements one by one, and are not the ones to be fast: fewer of them are compiled.
template <bool kVectors, class T>
__device__ __forceinline__ uint4 load(const Work<T>& work, uint32_t packet) {
  constexpr int kWidth = kVector<T>;
  const uint32_t at = packet * kWidth;
  if constexpr (kVectors) {
    return sendable(*reinterpret_cast<const uint4*>(work.x + at));
  } else {
    alignas(16) T in[kWidth];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) in[i] = at + i < work.count ? work.x[at + i] : from_f32<T>(0.0f);
    return sendable(*reinterpret_cast<const uint4*>(in));
  }
}

// What a packet's sum is added to, loaded before the sum is there.
template <class T>
struct Goal {
  alignas(16) float y[kVector<T>];
  alignas(16) float bias[kVector<T>];
};

template <int kWidth>
__device__ __forceinline__ void copy_floats(float* to, const float* from) {
#pragma unroll
  for (int i = 0; i < kWidth; i += 4)
    *reinterpret_cast<float4*>(to + i) = *reinterpret_cast<const float4*>(from + i);
}

template <bool kVectors, class T>
__device__ __forceinline__ void load_goal(const Work<T>& work, uint32_t packet, Goal<T>& goal) {
  constexpr int kWidth = kVector<T>;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) goal.y[i] = goal.bias[i] = 0;
  if (!work.y) return;
  const uint32_t at = packet * kWidth;
  if constexpr (kVectors) {
    copy_floats<kWidth>(goal.y, work.y + at);
    if (work.bias) copy_floats<kWidth>(goal.bias, work.bias + (work.first + at) % work.hidden);
  } else {
#pragma unroll 1
    for (int i = 0; i < kWidth; ++i) {
      if (at + i >= work.count) break;
      goal.y[i] = work.y[at + i];
      if (work.bias) goal.bias[i] = work.bias[(work.first + at + i) % work.hidden];
    }
  }
}

template <bool kVectors, class T>
__device__ __forceinline__ void store(const Work<T>& work, uint32_t packet, const Goal<T>& goal, uint4 sum) {
  constexpr int kWidth = kVector<T>;
  const uint32_t at = packet * kWidth;
  const T* values = reinterpret_cast<const T*>(&sum);
  if (!work.y) {
    if constexpr (kVectors) {
      *reinterpret_cast<uint4*>(work.x + at) = sum;
    } else {
#pragma unroll
      for (int i = 0; i < kWidth; ++i)
        if (at + i < work.count) work.x[at + i] = values[i];
    }
    return;
  }
  alignas(16) float y[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) y[i] = goal.y[i] + (to_f32(values[i]) + goal.bias[i]);
  if constexpr (kVectors) {
    copy_floats<kWidth>(work.y + at, y);
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      if (at + i < work.count) work.y[at + i] = y[i];
  }
}

// This block's view of the call.
struct Call {
  const PeerGroup& group;
  uint32_t number;

  // This call's half of a rank's memory. A rank's packets lie in slots, one for each other rank in order.
  __device__ __forceinline__ uint4* half(int rank) const {
    return static_cast<uint4*>(group.regions[rank]) + static_cast<size_t>(number & 1) * group.half_packets;
  }
  __device__ __forceinline__ uint4* inbox() const { return half(group.rank); }
  // Where rank `to` gets this rank's packets; slots have `stride` packets and start at `begin`.
  __device__ __forceinline__ uint4* slot(int to, uint32_t begin, uint32_t stride) const {
    const int place = group.rank - (group.rank > to ? 1 : 0);
    return half(to) + begin + static_cast<size_t>(place) * stride;
  }
  // The rank whose packets come into this rank's slot.
  __device__ __forceinline__ int sender(int place) const { return place + (place >= group.rank ? 1 : 0); }
  // The others in turn, every rank starting with the next one, so that not all write to one.
  __device__ __forceinline__ int receiver(int step) const {
    const int to = group.rank + step;
    return to < group.ranks ? to : to - group.ranks;
  }
};

__device__ __forceinline__ Call begin_call(const PeerGroup& group) {
  return {group, *const_cast<volatile const uint32_t*>(group.calls + blockIdx.x)};
}

__device__ __forceinline__ void end_call(const Call& call) {
  __syncthreads();  // all threads of this block have read its counter
  for (uint32_t block = blockIdx.x + threadIdx.x * gridDim.x; block < kMaxPeerBlocks;
       block += gridDim.x * kThreads)
    call.group.calls[block] = call.number + 1;
}

// Whether to wait no longer: time is up, or the host or another thread has said so. Asked now and then.
__device__ __noinline__ bool give_up(const PeerGroup& group, int silent, uint64_t limit_ns, uint64_t& began) {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  if (began == 0) began = now;
  volatile PeerFault* fault = group.fault;
  if (fault->stop != 0 || fault->silent != 0) return true;
  if (now - began < limit_ns) return false;
  fault->silent = static_cast<uint32_t>(silent) + 1;
  __threadfence_system();
  return true;
}

// Waits for the packets at `from`; null ones are not wanted. False when given up. Entry i is from the sender
// of slot i % kPeers. Whoever waits for sums may wait for a rank that itself waits: kOfSums leaves it to
// those who wait for what a rank has at once to name the silent one first.
template <int kPeers, bool kOfSums = false, int kCount>
__device__ __forceinline__ bool receive(const Call& call, const uint4* const (&from)[kCount],
                                        uint4 (&got)[kCount]) {
  // At full speed as long as ranks that run alike may be apart, some 30 us; then so that others get at the
  // memory. About a millisecond between looks, which read the host's memory. To be measured.
  constexpr uint32_t kRoundsAwake = 64, kRoundsBetweenLooks = 2048;
  uint32_t waiting = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i)
    if (from[i]) waiting |= 1u << i;
  uint64_t began = 0;
  for (uint32_t round = 1; waiting != 0; ++round) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (waiting >> i & 1) got[i] = read_packet(from[i]);
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if ((waiting >> i & 1) && has_come(got[i])) waiting &= ~(1u << i);
    if (round > kRoundsAwake && waiting != 0) {
      __nanosleep(64);
      const int silent = call.sender((__ffs(static_cast<int>(waiting)) - 1) % kPeers);
      const uint64_t limit = call.group.limit_ns + (kOfSums ? call.group.limit_ns / 8 : 0);
      if (round % kRoundsBetweenLooks == 0 && give_up(call.group, silent, limit, began)) return false;
    }
  }
  return true;
}

// The sum of the ranks' packets in rank order, in fp32, as it is sent. got[i] is from the sender of slot i.
template <class T, int kPeers>
__device__ __forceinline__ uint4 sum_of(const PeerGroup& group, uint4 mine, const uint4 (&got)[kPeers]) {
  constexpr int kWidth = kVector<T>;
  float sum[kWidth];
#pragma unroll
  for (int rank = 0; rank <= kPeers; ++rank) {
    if (rank >= group.ranks) continue;
    const uint4 below = got[rank < kPeers ? rank : kPeers - 1], above = got[rank > 0 ? rank - 1 : 0];
    const uint4 packet = rank < group.rank ? below : rank == group.rank ? mine : above;
    const T* values = reinterpret_cast<const T*>(&packet);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float value = to_f32(values[i]);
      sum[i] = rank == 0 ? value : sum[i] + value;
    }
  }
  alignas(16) T out[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) out[i] = from_f32<T>(sum[i]);
  return sendable(*reinterpret_cast<const uint4*>(out));
}

template <class T, int kPeers, bool kVectors>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    one_shot(const __grid_constant__ PeerGroup group, const __grid_constant__ Work<T> work) {
  constexpr int kBatch = kPeers == 1 ? 2 : 1;
  wait_for_previous();
  let_next_start();
  const Call call = begin_call(group);
  const uint32_t packets = work.packets, step = gridDim.x * kThreads;
  const uint32_t first = blockIdx.x * kThreads + threadIdx.x;
  for (uint32_t base = first; base < packets; base += kBatch * step) {
    uint4 mine[kBatch];
#pragma unroll
    for (int j = 0; j < kBatch; ++j)
      if (base + j * step < packets) mine[j] = load<kVectors>(work, base + j * step);
#pragma unroll
    for (int turn = 1; turn <= kPeers; ++turn) {
      if (turn >= group.ranks) break;
      const int to = call.receiver(turn);
      uint4* slot = call.slot(to, 0, packets);
#pragma unroll
      for (int j = 0; j < kBatch; ++j)
        if (base + j * step < packets) write_packet(slot + base + j * step, mine[j]);
    }
  }
  uint4* const inbox = call.inbox();
  bool alive = true;
  for (uint32_t base = first; alive && base < packets; base += kBatch * step) {
    const uint4* from[kBatch * kPeers];
    uint4 mine[kBatch], got[kBatch * kPeers] = {};
    Goal<T> goal[kBatch];
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const uint32_t at = base + j * step;
#pragma unroll
      for (int place = 0; place < kPeers; ++place) {
        const bool wanted = at < packets && place < group.ranks - 1;
        from[j * kPeers + place] = wanted ? inbox + static_cast<size_t>(place) * packets + at : nullptr;
      }
      if (at >= packets) continue;
      mine[j] = load<kVectors>(work, at);
      load_goal<kVectors>(work, at, goal[j]);
    }
    alive = receive<kPeers>(call, from, got);
    if (!alive) break;
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const uint32_t at = base + j * step;
      if (at >= packets) continue;
      uint4 theirs[kPeers];
#pragma unroll
      for (int place = 0; place < kPeers; ++place) theirs[place] = got[j * kPeers + place];
      store<kVectors>(work, at, goal[j], sum_of<T>(group, mine[j], theirs));
#pragma unroll
      for (int place = 0; place < kPeers; ++place)
        if (place < group.ranks - 1) empty_packet(inbox + static_cast<size_t>(place) * packets + at);
    }
  }
  end_call(call);
}

// A thread has the same packets of each part, so that x is written only by the thread that has read it.
template <class T, int kPeers, bool kVectors>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    two_shot(const __grid_constant__ PeerGroup group, const __grid_constant__ Work<T> work, uint32_t part) {
  wait_for_previous();
  let_next_start();
  const Call call = begin_call(group);
  const uint32_t packets = work.packets, step = gridDim.x * kThreads;
  const uint32_t first = blockIdx.x * kThreads + threadIdx.x;
  const int others = group.ranks - 1;
  const uint32_t second = static_cast<uint32_t>(others) * part;  // where the slots for sums begin
  const uint32_t own = static_cast<uint32_t>(group.rank) * part;
  for (uint32_t i = first; i < part; i += step) {
#pragma unroll
    for (int turn = 1; turn <= kPeers; ++turn) {
      if (turn >= group.ranks) break;
      const int to = call.receiver(turn);
      const uint32_t at = static_cast<uint32_t>(to) * part + i;
      if (at < packets) write_packet(call.slot(to, 0, part) + i, load<kVectors>(work, at));
    }
  }
  uint4* const scattered = call.inbox();
  uint4* const gathered = scattered + second;
  bool alive = true;
  for (uint32_t i = first; alive && i < part && own + i < packets; i += step) {
    const uint4* from[kPeers];
    uint4 got[kPeers] = {};
    Goal<T> goal;
#pragma unroll
    for (int place = 0; place < kPeers; ++place)
      from[place] = place < others ? scattered + static_cast<size_t>(place) * part + i : nullptr;
    const uint4 mine = load<kVectors>(work, own + i);
    load_goal<kVectors>(work, own + i, goal);
    alive = receive<kPeers>(call, from, got);
    if (!alive) break;
    const uint4 sum = sum_of<T>(group, mine, got);
#pragma unroll
    for (int turn = 1; turn <= kPeers; ++turn)
      if (turn < group.ranks) write_packet(call.slot(call.receiver(turn), second, part) + i, sum);
    store<kVectors>(work, own + i, goal, sum);
#pragma unroll
    for (int place = 0; place < kPeers; ++place)
      if (place < others) empty_packet(scattered + static_cast<size_t>(place) * part + i);
  }
  for (uint32_t i = first; alive && i < part; i += step) {
    const uint4* from[kPeers];
    uint4 got[kPeers] = {};
#pragma unroll
    for (int place = 0; place < kPeers; ++place) {
      const bool wanted = place < others && static_cast<uint32_t>(call.sender(place)) * part + i < packets;
      from[place] = wanted ? gathered + static_cast<size_t>(place) * part + i : nullptr;
    }
    alive = receive<kPeers, true>(call, from, got);
    if (!alive) break;
#pragma unroll
    for (int place = 0; place < kPeers; ++place) {
      if (!from[place]) continue;
      const uint32_t at = static_cast<uint32_t>(call.sender(place)) * part + i;
      Goal<T> goal;
      load_goal<kVectors>(work, at, goal);
      store<kVectors>(work, at, goal, got[place]);
      empty_packet(gathered + static_cast<size_t>(place) * part + i);
    }
  }
  end_call(call);
}

struct Gathering {
  const void* x;
  void* y;
  size_t bytes;  // of x
  uint32_t packets;
};

// Data of a packet, from or to a rank's bytes. With kWords all lie on 4 bytes, and no word is cut.
template <bool kWords>
__device__ __forceinline__ void load_words(const Gathering& work, uint32_t packet,
                                           uint32_t (&words)[kGatherWords]) {
#pragma unroll
  for (int j = 0; j < kGatherWords; ++j) {
    const size_t at = (static_cast<size_t>(packet) * kGatherWords + j) * sizeof(uint32_t);
    words[j] = 0;
    if constexpr (kWords) {
      if (at < work.bytes) words[j] = static_cast<const uint32_t*>(work.x)[at / sizeof(uint32_t)];
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (at + i < work.bytes)
          words[j] |= static_cast<uint32_t>(static_cast<const uint8_t*>(work.x)[at + i]) << (8 * i);
    }
  }
}
template <bool kWords>
__device__ __forceinline__ void store_words(const Gathering& work, int rank, uint32_t packet,
                                            const uint32_t (&words)[kGatherWords]) {
  uint8_t* const y = static_cast<uint8_t*>(work.y) + static_cast<size_t>(rank) * work.bytes;
#pragma unroll
  for (int j = 0; j < kGatherWords; ++j) {
    const size_t at = (static_cast<size_t>(packet) * kGatherWords + j) * sizeof(uint32_t);
    if constexpr (kWords) {
      if (at < work.bytes) *reinterpret_cast<uint32_t*>(y + at) = words[j];
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (at + i < work.bytes) y[at + i] = static_cast<uint8_t>(words[j] >> (8 * i));
    }
  }
}

template <int kPeers, bool kWords>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    gather(const __grid_constant__ PeerGroup group, const __grid_constant__ Gathering work) {
  wait_for_previous();
  let_next_start();
  const Call call = begin_call(group);
  const uint32_t packets = work.packets, step = gridDim.x * kThreads;
  const uint32_t first = blockIdx.x * kThreads + threadIdx.x;
  for (uint32_t at = first; at < packets; at += step) {
    uint32_t words[kGatherWords];
    load_words<kWords>(work, at, words);
    uint32_t nothings = 0;
#pragma unroll
    for (int j = 0; j < kGatherWords; ++j)
      if (words[j] == kNothing) nothings |= 1u << j;
    const uint4 packet = sendable({words[0], words[1], words[2], nothings});
#pragma unroll
    for (int turn = 1; turn <= kPeers; ++turn) {
      if (turn >= group.ranks) break;
      write_packet(call.slot(call.receiver(turn), 0, packets) + at, packet);
    }
    store_words<kWords>(work, group.rank, at, words);
  }
  uint4* const inbox = call.inbox();
  for (uint32_t at = first; at < packets; at += step) {
    const uint4* from[kPeers];
    uint4 got[kPeers] = {};
#pragma unroll
    for (int place = 0; place < kPeers; ++place)
      from[place] = place < group.ranks - 1 ? inbox + static_cast<size_t>(place) * packets + at : nullptr;
    if (!receive<kPeers>(call, from, got)) break;
#pragma unroll
    for (int place = 0; place < kPeers; ++place) {
      if (!from[place]) continue;
      uint32_t words[kGatherWords] = {got[place].x, got[place].y, got[place].z};
#pragma unroll
      for (int j = 0; j < kGatherWords; ++j)
        if (got[place].w >> j & 1) words[j] = kNothing;
      store_words<kWords>(work, call.sender(place), at, words);
      empty_packet(inbox + static_cast<size_t>(place) * packets + at);
    }
  }
  end_call(call);
}

__global__ void __launch_bounds__(kThreads) empty(uint4* packets, int64_t count) {
  wait_for_previous();
  let_next_start();
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * kThreads)
    empty_packet(packets + i);
}

template <class T>
using OneShot = void (*)(PeerGroup, Work<T>);
template <class T>
using TwoShot = void (*)(PeerGroup, Work<T>, uint32_t);
template <class T>
OneShot<T> one_shot_for(int ranks, bool vectors) {
  if (!vectors) return one_shot<T, kManyPeers, false>;
  return ranks == 2 ? one_shot<T, 1, true> : one_shot<T, kManyPeers, true>;
}
template <class T>
TwoShot<T> two_shot_for(int ranks, bool vectors) {
  if (!vectors) return two_shot<T, kManyPeers, false>;
  return ranks == 2 ? two_shot<T, 1, true> : two_shot<T, kManyPeers, true>;
}

using Gather = void (*)(PeerGroup, Gathering);
Gather gather_for(int ranks, bool words) {
  if (!words) return gather<kManyPeers, false>;
  return ranks == 2 ? gather<1, true> : gather<kManyPeers, true>;
}

template <class T>
Work<T> work_of(const PeerReduction& reduction) {
  constexpr int kWidth = kVector<T>;
  BOLIDE_CHECK(reduction.count > 0 && reduction.count < INT32_MAX - kWidth && reduction.hidden > 0);
  return {.x = static_cast<T*>(reduction.x),
          .y = reduction.y,
          .bias = reduction.bias,
          .count = static_cast<uint32_t>(reduction.count),
          .hidden = static_cast<uint32_t>(reduction.hidden),
          .first = static_cast<uint32_t>(reduction.first % reduction.hidden),
          .packets = static_cast<uint32_t>((reduction.count + kWidth - 1) / kWidth)};
}

// Whether the kernels with kVectors may take it.
template <class T>
bool vectors_of(const Work<T>& work) {
  const auto on_16_bytes = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  const uint32_t width = kVector<T>;
  return work.count % width == 0 && on_16_bytes(work.x) && on_16_bytes(work.y) &&
         (!work.bias || (on_16_bytes(work.bias) && work.hidden % width == 0 && work.first % width == 0));
}

// A thread for each of `items`, as far as there is room.
LaunchShape shape_for(uint32_t items, int most_blocks) {
  const uint32_t blocks = (items + kThreads - 1) / kThreads;
  return {.grid = dim3(std::clamp(blocks, 1u, static_cast<uint32_t>(most_blocks))), .block = dim3(kThreads)};
}

template <class Kernel>
void load_kernel(Kernel* kernel) {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)), "cudaFuncGetAttributes");
}

}  // namespace

void one_shot_reduce(const Context& context, const PeerGroup& group, const PeerReduction& reduction) {
  dispatch_float(reduction.dtype, [&]<class S>() {
    using T = device_t<S>;
    const Work<T> work = work_of<T>(reduction);
    BOLIDE_CHECK(one_shot_packets(work.packets, group.ranks) <= group.half_packets);
    launch(context, "one-shot all-reduce", one_shot_for<T>(group.ranks, vectors_of(work)),
           shape_for(work.packets, group.most_blocks), group, work);
  });
}

void two_shot_reduce(const Context& context, const PeerGroup& group, const PeerReduction& reduction) {
  dispatch_float(reduction.dtype, [&]<class S>() {
    using T = device_t<S>;
    const Work<T> work = work_of<T>(reduction);
    BOLIDE_CHECK(two_shot_packets(work.packets, group.ranks) <= group.half_packets);
    const auto part = static_cast<uint32_t>(two_shot_part(work.packets, group.ranks));
    launch(context, "two-shot all-reduce", two_shot_for<T>(group.ranks, vectors_of(work)),
           shape_for(part, group.most_blocks), group, work, part);
  });
}

void one_shot_gather(const Context& context, const PeerGroup& group, const void* x, void* y, size_t bytes) {
  const uint64_t all = gather_packets(bytes, group.ranks);
  BOLIDE_CHECK(bytes > 0 && all <= group.half_packets);
  const auto packets = static_cast<uint32_t>(all / static_cast<uint64_t>(group.ranks - 1));
  const bool words =
      (reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y) | bytes) % sizeof(uint32_t) == 0;
  launch(context, "one-shot all-gather", gather_for(group.ranks, words),
         shape_for(packets, group.most_blocks), group,
         Gathering{.x = x, .y = y, .bytes = bytes, .packets = packets});
}

void empty_packets(const Context& context, void* packets, int64_t count) {
  const auto items = static_cast<uint32_t>(std::min<int64_t>(count, 1 << 30));
  launch(context, "empty packets", empty, shape_for(items, kMaxPeerBlocks), static_cast<uint4*>(packets),
         count);
}

int most_peer_blocks(int sharing) {
  return std::min(kMaxPeerBlocks,
                  sharing == 1 ? kBlocksPerMultiprocessor * multiprocessors() : multiprocessors() / sharing);
}

void load_peer_kernels() {
  load_kernel(empty);
  for (int ranks : {2, kMaxPeerRanks})
    for (bool words : {false, true}) load_kernel(gather_for(ranks, words));
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    dispatch_float(dtype, [&]<class S>() {
      using T = device_t<S>;
      for (int ranks : {2, kMaxPeerRanks}) {
        for (bool vectors : {false, true}) {
          load_kernel(one_shot_for<T>(ranks, vectors));
          load_kernel(two_shot_for<T>(ranks, vectors));
        }
      }
    });
  }
}

}  // namespace bolide::cuda
