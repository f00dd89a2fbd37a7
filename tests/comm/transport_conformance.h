#pragma once

#include <string>

#include "comm/transport.h"

namespace bolide {

// What every Transport must do, whatever carries its messages. All ranks call the same one; it throws where
// something is wrong. They leave no message behind.
void check_order_and_channels(Transport& world);
void check_crossing_sends(Transport& world);
void check_message_sizes(Transport& world);
void check_helpers(Transport& world);

// All of the above.
void check_conformance(Transport& world);

}  // namespace bolide
