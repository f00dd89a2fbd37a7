// The pickle inside of a torch.save file, which mutations of the whole archive seldom reach.
#include "checkpoint/torch_pickle.h"
#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bolide::only_errors([&] { bolide::read_state_dict(std::as_bytes(std::span(data, size)), "pickle"); });
  return 0;
}
