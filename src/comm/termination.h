#pragma once

namespace bolide {

// mpirun, torchrun and srun send SIGTERM to the ranks that are left when one has died, and SIGKILL a moment
// later. While one of these is alive, the signal is remembered, so that a rank that waits for another can say
// so before it ends; what was there to handle it is called, too. A process that does not end of itself is
// ended two seconds later, or by the next SIGTERM at once. One at a time.
class TerminationWatch {
 public:
  TerminationWatch();
  ~TerminationWatch();
  TerminationWatch(const TerminationWatch&) = delete;
  TerminationWatch& operator=(const TerminationWatch&) = delete;

  // Takes the signal back, should the program have given it to another handler since.
  void renew();
  bool requested() const;
};

}  // namespace bolide
