#pragma once

#include "comm/communicator.h"

namespace bolide {

// Bytes of x up to which each kind of reduction is used. The memory that they need serves gathers, too, as
// far as these fit into it.
struct OneShotLimits {
  size_t one_shot_bytes = 0;
  size_t two_shot_bytes = 0;  // beyond: the library, or, where context.deterministic, in pieces
};
OneShotLimits one_shot_limits(int ranks);

// make_one_shot_communicator() of comm/communicator.h, for tests and benchmarks, with limits of their choice.
std::unique_ptr<Communicator> make_one_shot_communicator(const Context& context, Transport& world,
                                                         std::span<const int> group, Channel channel,
                                                         std::unique_ptr<Communicator> library,
                                                         const OneShotLimits& limits);

}  // namespace bolide
