#include "comm/transport.h"

#include <algorithm>
#include <exception>

#include "base/error.h"

namespace bolide {
namespace {

// A damaged length must not become an allocation. The largest message is a prompt's logits.
constexpr uint64_t kMaxMessageBytes = uint64_t{1} << 36;

}  // namespace

void Transport::send_message(int to, Channel channel, std::span<const std::byte> data) {
  const uint64_t bytes = data.size();
  send(to, channel, std::as_bytes(std::span(&bytes, 1)));
  if (bytes > 0) send(to, channel, data);
}

std::vector<std::byte> Transport::receive_message(int from, Channel channel) {
  uint64_t bytes = 0;
  receive(from, channel, std::as_writable_bytes(std::span(&bytes, 1)));
  if (bytes > kMaxMessageBytes) fail_gone(from, fmt::format("it announced a message of {} bytes", bytes));
  std::vector<std::byte> data(bytes);
  if (bytes > 0) receive(from, channel, data);
  return data;
}

std::vector<std::vector<std::byte>> Transport::gather(std::span<const std::byte> mine, Channel channel) {
  if (rank() != 0) {
    send_message(0, channel, mine);
    return {};
  }
  std::vector<std::vector<std::byte>> all;
  all.emplace_back(mine.begin(), mine.end());
  for (int from = 1; from < size(); ++from) all.push_back(receive_message(from, channel));
  return all;
}

std::vector<std::byte> Transport::broadcast(std::span<const std::byte> data_of_rank_0, Channel channel) {
  if (rank() != 0) return receive_message(0, channel);
  for (int to = 1; to < size(); ++to) send_message(to, channel, data_of_rank_0);
  return {data_of_rank_0.begin(), data_of_rank_0.end()};
}

void Transport::barrier(Channel channel) {
  gather({}, channel);
  broadcast({}, channel);
}

bool Transport::ends_with_others() const { return end_agreed_ || std::uncaught_exceptions() == 0; }

void Transport::fail_silent(int rank) const {
  fail(ErrorCode::kResource,
       "rank {} did not answer rank {} within {:g} s at {}: it died or hangs (where it only needs longer, "
       "raise --comm-timeout)",
       rank, rank_, timeout_.count(), at_);
}

void Transport::fail_gone(int rank, std::string_view detail) const {
  fail(ErrorCode::kResource, "rank {} is gone, as rank {} found at {}: {}", rank, rank_, at_, detail);
}

}  // namespace bolide
