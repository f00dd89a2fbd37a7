// Several GPUs in a build without NCCL's header.
#include "base/error.h"
#include "comm/communicator.h"

namespace bolide {

std::unique_ptr<Communicator> make_nccl_communicator(const Context&, Transport&, std::span<const int>,
                                                     Channel) {
  fail(ErrorCode::kUnsupported,
       "this build has no NCCL, which several GPUs need: build with NCCL's header (nccl.h, package "
       "libnccl-dev) where CMake finds it, and BOLIDE_NCCL not OFF; or give --all-reduce host");
}

}  // namespace bolide
