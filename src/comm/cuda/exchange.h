#pragma once

#include <algorithm>
#include <span>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "comm/transport.h"

namespace bolide::cuda {

// This rank's place in its group.
inline int rank_in(std::span<const int> group, const Transport& world) {
  const auto found = std::find(group.begin(), group.end(), world.rank());
  BOLIDE_CHECK(found != group.end(), "rank {} is not in its group", world.rank());
  return static_cast<int>(found - group.begin());
}

// What each rank of the group gave, in the group's order. Nobody returns before all have called it. Errors as
// in Transport.
template <class T>
std::vector<T> exchange(Transport& world, std::span<const int> group, Channel channel, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  for (int to : group)
    if (to != world.rank()) world.send(to, channel, std::as_bytes(std::span(&mine, 1)));
  std::vector<T> all(group.size(), mine);
  for (size_t i = 0; i < group.size(); ++i)
    if (group[i] != world.rank())
      world.receive(group[i], channel, std::as_writable_bytes(std::span(&all[i], 1)));
  return all;
}

}  // namespace bolide::cuda
