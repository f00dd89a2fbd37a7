// One .safetensors file.
#include "checkpoint/file_source.h"
#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const bolide::MemoryFile file(data, size);
  bolide::only_errors([&] {
    bolide::FileSource source;
    bolide::read_safetensors_file(file.path(), source);
    bolide::read_everything(source);
  });
  return 0;
}
