// In place of gloo.cc where the build has no Gloo.
#include "base/error.h"
#include "comm/transport.h"

namespace bolide {

std::unique_ptr<Transport> make_gloo_transport(const GlooRendezvous&, std::chrono::duration<double>) {
  fail(ErrorCode::kUnsupported,
       "this build has no Gloo, over which ranks meet without MPI. Install libgloo-dev and build again, or "
       "use "
       "mpirun");
}

}  // namespace bolide
