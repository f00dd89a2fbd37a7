// The directory of a zip archive: what it lists lies in the archive.
#include "checkpoint/zip.h"
#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const bolide::MemoryFile file(data, size);
  bolide::only_errors([&] {
    for (const auto& [name, entry] : bolide::read_zip(bolide::InputFile(file.path())))
      if (entry.offset > size || entry.size > size - entry.offset) std::abort();
  });
  return 0;
}
