// A model.safetensors.index.json beside two shards.
#include "support.h"

namespace {

// The smallest shard: one tensor of one float.
std::string shard(const std::string& name) {
  std::string header = "{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + std::string(4, '\0');
}

const bolide::MemoryFolder& folder_of_shards() {
  static const bolide::MemoryFolder folder;
  static const bool written = [] {
    folder.write("a.safetensors", shard("a"));
    folder.write("b.safetensors", shard("b"));
    return true;
  }();
  (void)written;
  return folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const bolide::MemoryFolder& folder = folder_of_shards();
  folder.write("model.safetensors.index.json", {reinterpret_cast<const char*>(data), size});
  bolide::only_errors([&] {
    const auto source = bolide::open_safetensors(folder.path());
    for (const std::string& name : source->names())
      if (name != "a" && name != "b") std::abort();
    bolide::read_everything(*source);
  });
  return 0;
}
