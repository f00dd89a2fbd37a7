// What comm/communicator.h says of GPUs, where there is no CUDA.
#include "base/error.h"
#include "comm/communicator.h"

namespace bolide {

std::unique_ptr<Communicator> make_nccl_communicator(const Context&, Transport&, std::span<const int>,
                                                     Channel) {
  fail(ErrorCode::kUnsupported,
       "this build has no CUDA backend, and so no NCCL: build with -DBOLIDE_CUDA=ON");
}

std::unique_ptr<Communicator> make_one_shot_communicator(const Context&, Transport&, std::span<const int>,
                                                         Channel, std::unique_ptr<Communicator> library) {
  return library;
}

}  // namespace bolide
