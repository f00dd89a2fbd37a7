// One torch.save file; bytes that begin as a pickle go straight to the unpickler, since mutations of a zip
// archive seldom reach it.
#include "checkpoint/mapped_source.h"
#include "checkpoint/torch_pickle.h"
#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint8_t kProtocolOpcode = 0x80;
  if (size > 0 && data[0] == kProtocolOpcode) {
    bolide::only_errors([&] { bolide::read_state_dict(std::as_bytes(std::span(data, size)), "pickle"); });
    return 0;
  }
  const bolide::MemoryFile file(data, size);
  bolide::only_errors([&] {
    bolide::MappedSource source;
    bolide::read_torch_file(file.path(), source);
    bolide::read_everything(source);
  });
  return 0;
}
