// Until the transports between processes are there.
#include "base/error.h"
#include "comm/transport.h"

namespace bolide {

__attribute__((weak)) std::unique_ptr<Transport> make_mpi_transport(std::chrono::duration<double>) {
  fail(ErrorCode::kUnsupported, "this build has no MPI");
}

__attribute__((weak)) std::unique_ptr<Transport> make_gloo_transport(const GlooMeeting&,
                                                                     std::chrono::duration<double>) {
  fail(ErrorCode::kUnsupported, "this build has no Gloo");
}

}  // namespace bolide
