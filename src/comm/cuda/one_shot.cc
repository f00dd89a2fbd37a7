#include "comm/cuda/one_shot.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>

#include "base/log.h"
#include "comm/cuda/exchange.h"
#include "comm/cuda/one_shot_kernels.h"
#include "comm/cuda/peer_memory.h"
#include "tensor/device.h"

namespace bolide {
namespace {

using cuda::PeerFault;
using cuda::PeerGroup;
using cuda::PeerMemory;
using cuda::PeerReduction;

constexpr uint64_t packets_of(size_t bytes) {
  return (bytes + cuda::kPeerPacketBytes - 1) / cuda::kPeerPacketBytes;
}

// Packets of each half of the memory that both kinds need up to their limits.
uint64_t half_packets(const OneShotLimits& limits, int ranks) {
  return std::max(cuda::one_shot_packets(packets_of(limits.one_shot_bytes), ranks),
                  cuda::two_shot_packets(packets_of(limits.two_shot_bytes), ranks));
}

class OneShotCommunicator final : public Communicator {
 public:
  OneShotCommunicator(const Context& context, Transport& world, std::span<const int> group,
                      std::unique_ptr<PeerMemory> memory, std::unique_ptr<Communicator> library,
                      const OneShotLimits& limits)
      : world_(world),
        group_(group.begin(), group.end()),
        memory_(std::move(memory)),
        library_(std::move(library)),
        limits_(limits),
        own_(std::make_unique<Own>()) {
    std::memset(own_->fault.get(), 0, sizeof(PeerFault));
    peers_ = {.half_packets = static_cast<uint32_t>(half_packets(limits, size())),
              .calls = reinterpret_cast<uint32_t*>(own_->calls.as<int32_t>()),
              .fault = fault(),
              .limit_ns = static_cast<uint64_t>(world.timeout().count() * 1e9),
              .ranks = size(),
              .rank = cuda::rank_in(group, world),
              .most_blocks = cuda::most_peer_blocks(memory_->sharing())};
    for (int rank = 0; rank < size(); ++rank) peers_.regions[rank] = memory_->of(rank);
    synchronize(context);
  }

  ~OneShotCommunicator() override {
    // After a fault, or while an exception unwinds, kernels may still run and wait. Ours end by themselves,
    // but not all that is queued need be ours, and freeing would wait for it.
    if (!failed() && std::uncaught_exceptions() == 0) return;
    abort();
    memory_->leave();
    static_cast<void>(own_.release());  // NOLINT: see above
  }

  int size() const override { return static_cast<int>(group_.size()); }
  int rank() const override { return peers_.rank; }
  std::string_view name() const override { return "one_shot"; }

  void all_reduce(const Context& context, const View& x) override {
    check_view(x);
    if (!takes(context, x)) return library_->all_reduce(context, x);
    reduce(context, x, {}, nullptr, 1);
  }

  void reduce_add(const Context& context, const View& delta, const View& bias, const View& y) override {
    check_view(delta);
    if (!takes(context, delta) || !y.contiguous()) return library_->reduce_add(context, delta, bias, y);
    BOLIDE_CHECK(delta.shape.rank() == 2 && y.shape == delta.shape && y.device == Device::kCuda);
    BOLIDE_CHECK(bias.empty() || (bias.shape.count() == delta.shape[1] && bias.device == Device::kCuda));
    reduce(context, delta, y, bias.empty() ? nullptr : bias.as<float>(), delta.shape[1]);
  }

  void all_gather(const Context& context, const View& x, const View& y) override {
    check_view(x);
    check_view(y);
    const size_t bytes = bytes_of(x);
    BOLIDE_CHECK(bytes_of(y) == bytes * group_.size());
    if (bytes == 0) return;
    if (cuda::gather_packets(bytes, size()) > peers_.half_packets) return library_->all_gather(context, x, y);
    if (failed()) check();
    cuda::one_shot_gather(context, peers_, x.data, y.data, bytes);
  }
  void reduce_scatter(const Context& context, const View& x, const View& y) override {
    library_->reduce_scatter(context, x, y);
  }
  void broadcast(const Context& context, const View& x, int root) override {
    library_->broadcast(context, x, root);
  }
  void send(const Context& context, const View& x, int to) override { library_->send(context, x, to); }
  void receive(const Context& context, const View& x, int from) override {
    library_->receive(context, x, from);
  }
  void barrier(const Context& context) override { library_->barrier(context); }

  void check() const override {
    if (const uint32_t silent = word(fault()->silent).load()) {
      fail(ErrorCode::kResource,
           "rank {} did not answer rank {} within {:g} s in an exchange on the GPU at {}: it died or hangs "
           "(where it only needs longer, raise --comm-timeout)",
           group_[silent - 1], world_.rank(), world_.timeout().count(), world_.at());
    }
    if (word(fault()->stop).load())
      fail(ErrorCode::kResource, "rank {} has given up its exchanges at {}", world_.rank(), world_.at());
    library_->check();
  }

  void abort() noexcept override {
    word(fault()->stop).store(1);
    library_->abort();
  }

 private:
  static void check_view(const View& x) {
    BOLIDE_CHECK(x.device == Device::kCuda && x.contiguous(), "{}", x.shape.str());
  }
  static size_t bytes_of(const View& x) { return static_cast<size_t>(x.shape.count()) * size_of(x.dtype); }
  static std::atomic_ref<uint32_t> word(uint32_t& value) { return std::atomic_ref(value); }
  PeerFault* fault() const { return reinterpret_cast<PeerFault*>(own_->fault.get()); }
  bool failed() const { return word(fault()->silent).load() || word(fault()->stop).load(); }

  bool takes(const Context& context, const View& x) const {
    return context.deterministic || bytes_of(x) <= std::max(limits_.one_shot_bytes, limits_.two_shot_bytes);
  }

  // In pieces where x is larger than the memory. Whatever the way, an element's sum has the same bits.
  void reduce(const Context& context, const View& x, const View& y, const float* bias, int64_t hidden) {
    if (failed()) check();
    const int64_t width = static_cast<int64_t>(size_of(x.dtype)), count = x.shape.count();
    const int64_t most = static_cast<int64_t>(std::max(limits_.one_shot_bytes, limits_.two_shot_bytes)) /
                         cuda::kPeerPacketBytes * cuda::kPeerPacketBytes / width;
    for (int64_t begin = 0; begin < count; begin += most) {
      const PeerReduction piece = {.x = static_cast<std::byte*>(x.data) + begin * width,
                                   .dtype = x.dtype,
                                   .count = std::min(most, count - begin),
                                   .y = y.empty() ? nullptr : y.as<float>() + begin,
                                   .bias = bias,
                                   .hidden = hidden,
                                   .first = begin};
      if (static_cast<size_t>(piece.count * width) <= limits_.one_shot_bytes) {
        cuda::one_shot_reduce(context, peers_, piece);
      } else {
        cuda::two_shot_reduce(context, peers_, piece);
      }
    }
  }

  // What kernels use besides the memory that ranks share.
  struct Own {
    Tensor calls = Tensor::zeros({cuda::kMaxPeerBlocks}, DType::kI32, Device::kCuda);
    std::shared_ptr<std::byte> fault = allocate_pinned(sizeof(PeerFault));
  };

  Transport& world_;
  std::vector<int> group_;
  std::unique_ptr<PeerMemory> memory_;
  std::unique_ptr<Communicator> library_;
  OneShotLimits limits_;
  std::unique_ptr<Own> own_;
  PeerGroup peers_ = {};
};

}  // namespace

// Not measured yet. NCCL's time, and one hop against two, decide; bench_comm prints them side by side.
OneShotLimits one_shot_limits(int ranks) {
  // A chunk of a prompt, 2048 tokens of a hidden size of 4096 in half precision: beyond, the memory for
  // packets (twice this with two ranks) would be better used for keys and values.
  constexpr size_t kMaxBytes = size_t{16} << 20;
  // Two ranks send the same bytes either way. More send (n - 1) (n - 2) / n of x less in two hops, which pays
  // when that takes longer than a hop: about 2 us, in which a GPU sends some 740 KB at 370 GB/s.
  constexpr size_t kBytesOfAHop = 740'000;
  const auto n = static_cast<size_t>(std::max(ranks, 2));
  if (n == 2) return {kMaxBytes, kMaxBytes};
  return {kBytesOfAHop * n / ((n - 1) * (n - 2)), kMaxBytes};
}

std::unique_ptr<Communicator> make_one_shot_communicator(const Context& context, Transport& world,
                                                         std::span<const int> group, Channel channel,
                                                         std::unique_ptr<Communicator> library,
                                                         const OneShotLimits& limits) {
  BOLIDE_CHECK(context.device == Device::kCuda && library != nullptr);
  const int ranks = static_cast<int>(group.size());
  if (ranks < 2) return library;
  std::string cannot;
  if (ranks > cuda::kMaxPeerRanks) cannot = fmt::format("{} ranks are more than 8", ranks);
  use_cuda_device(context.device_index);
  cuda::load_peer_kernels();
  const uint64_t packets = half_packets(limits, ranks);
  BOLIDE_CHECK(packets > 0 && packets < UINT32_MAX);
  std::string why;
  auto memory = PeerMemory::make(context, world, group, channel, 2 * packets * cuda::kPeerPacketBytes, cannot,
                                 why, [&](std::byte* at) {
                                   cuda::empty_packets(context, at, static_cast<int64_t>(2 * packets));
                                   synchronize(context);
                                 });
  if (!memory) {
    if (world.rank() == group[0]) log::info("all exchanges by {}: {}", library->name(), why);
    return library;
  }
  auto made = std::make_unique<OneShotCommunicator>(context, world, group, std::move(memory),
                                                    std::move(library), limits);
  // Taking memory may wait for the GPU: no rank's kernel waits for others before all have theirs.
  cuda::exchange(world, group, channel, char{0});
  return made;
}

std::unique_ptr<Communicator> make_one_shot_communicator(const Context& context, Transport& world,
                                                         std::span<const int> group, Channel channel,
                                                         std::unique_ptr<Communicator> library) {
  const OneShotLimits limits = one_shot_limits(static_cast<int>(group.size()));
  return make_one_shot_communicator(context, world, group, channel, std::move(library), limits);
}

}  // namespace bolide
