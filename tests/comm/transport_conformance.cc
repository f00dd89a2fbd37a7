#include "comm/transport_conformance.h"

#include <fmt/format.h>

#include <stdexcept>

namespace bolide {
namespace {

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error("conformance: " + what);
}

std::vector<std::byte> pattern(size_t bytes, int seed) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>((i * 31 + i / 251 + seed * 7) & 0xff);
  return data;
}

template <class F>
void for_each_peer(const Transport& world, F&& f) {
  for (int peer = 0; peer < world.size(); ++peer)
    if (peer != world.rank()) f(peer);
}

}  // namespace

void check_order_and_channels(Transport& world) {
  constexpr int kMessages = 20;
  const auto value = [](int from, int channel, int i) { return from * 10000 + channel * 1000 + i; };
  for_each_peer(world, [&](int to) {
    for (int i = 0; i < kMessages; ++i) {
      for (int channel = 0; channel < kChannels; ++channel) {
        const int sent = value(world.rank(), channel, i);
        world.send(to, static_cast<Channel>(channel), std::as_bytes(std::span(&sent, 1)));
      }
    }
  });
  // The last channel's first: no channel waits for another.
  for (int channel = kChannels - 1; channel >= 0; --channel) {
    for_each_peer(world, [&](int from) {
      for (int i = 0; i < kMessages; ++i) {
        int got = -1;
        world.receive(from, static_cast<Channel>(channel), std::as_writable_bytes(std::span(&got, 1)));
        require(got == value(from, channel, i),
                fmt::format("message {} of channel {} from rank {} is {}", i, channel, from, got));
      }
    });
  }
}

void check_crossing_sends(Transport& world) {
  constexpr size_t kBytes = size_t{8} << 20;
  for_each_peer(world, [&](int to) {
    auto data = pattern(kBytes, world.rank() * world.size() + to);
    world.send(to, Channel::kTensor, data);
    data.assign(data.size(), std::byte{0xee});  // send() has returned: the data is the caller's again
  });
  for_each_peer(world, [&](int from) {
    std::vector<std::byte> got(kBytes);
    world.receive(from, Channel::kTensor, got);
    require(got == pattern(kBytes, from * world.size() + world.rank()),
            fmt::format("8 MiB from rank {} came damaged", from));
  });
}

void check_message_sizes(Transport& world) {
  const size_t sizes[] = {0, 1, 7, 4096, 0, 65537, 1000003};
  for (const size_t bytes : sizes) {
    for_each_peer(world, [&](int to) {
      world.send(to, Channel::kPipeline, pattern(bytes, world.rank()));
      world.send_message(to, Channel::kPlan, pattern(bytes, world.rank()));
    });
  }
  for (const size_t bytes : sizes) {
    for_each_peer(world, [&](int from) {
      std::vector<std::byte> got(bytes);
      world.receive(from, Channel::kPipeline, got);
      require(got == pattern(bytes, from), fmt::format("{} bytes from rank {} came damaged", bytes, from));
      got = world.receive_message(from, Channel::kPlan);
      require(got == pattern(bytes, from),
              fmt::format("a message of {} bytes came with {}", bytes, got.size()));
    });
  }
}

void check_helpers(Transport& world) {
  for (int round = 0; round < 3; ++round) {
    const auto size_of = [&](int rank) { return static_cast<size_t>(rank * 100 + round); };
    const auto all = world.gather(pattern(size_of(world.rank()), world.rank()), Channel::kResult);
    require(all.size() == (world.rank() == 0 ? static_cast<size_t>(world.size()) : 0),
            "gather at another rank");
    for (int from = 0; world.rank() == 0 && from < world.size(); ++from)
      require(all[static_cast<size_t>(from)] == pattern(size_of(from), from), "gather is out of order");
    const auto news = pattern(5000, round);
    require(world.broadcast(world.rank() == 0 ? news : std::vector<std::byte>(), Channel::kPlan) == news,
            "broadcast came damaged");
    world.barrier(Channel::kStart);
  }
}

void check_conformance(Transport& world) {
  check_order_and_channels(world);
  check_crossing_sends(world);
  check_message_sizes(world);
  check_helpers(world);
}

}  // namespace bolide
