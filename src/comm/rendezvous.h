#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "comm/transport.h"

namespace bolide {

// Where processes that know only rank, size and an address find each other and swap short texts, until they
// have connections of their own. Errors are kUsage (an address that cannot be, two processes of one rank) and
// kResource (who did not come in time).
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  // Every rank's text, in rank order. Each text has at most 64 KiB.
  virtual std::vector<std::string> exchange(const std::string& mine) = 0;
  // The address, in digits, by which the other ranks reach this host; empty where the meeting cannot tell.
  virtual std::string local_address() const = 0;
  // Called when no rank needs the meeting any more: leaves nothing behind.
  virtual void leave() = 0;
};

std::unique_ptr<Rendezvous> make_rendezvous(const GlooRendezvous& rendezvous,
                                            std::chrono::duration<double> timeout);

}  // namespace bolide
