// A whole model folder: opened, loaded, and its tokenizer used. The input is an archive of its own kind that
// mutations keep readable: "<<<NAME>>>" begins a file, whose bytes go on to the next such mark.
#include "bolide/tokenizer.h"
#include "models/load_model.h"
#include "models/open_checkpoint.h"
#include "support.h"

namespace {

constexpr std::string_view kOpen = "<<<", kClose = ">>>";
constexpr size_t kMaxFiles = 24;

void unpack(std::string_view input, const bolide::MemoryFolder& folder) {
  size_t at = input.find(kOpen);
  for (size_t files = 0; at != std::string_view::npos && files < kMaxFiles; ++files) {
    const size_t name = at + kOpen.size(), close = input.find(kClose, name);
    if (close == std::string_view::npos) return;
    const size_t begin = close + kClose.size();
    at = input.find(kOpen, begin);
    folder.write(std::string(input.substr(name, close - name)), input.substr(begin, at - begin));
  }
}

void load(const std::filesystem::path& folder) {
  bolide::read_everything(*bolide::open_checkpoint(folder).source);
  bolide::load_model({.path = folder, .data_type = {}}, bolide::Context{});
}

void tokenize(const std::filesystem::path& folder) {
  const auto tokenizer = bolide::Tokenizer::load(folder);
  tokenizer->decode(tokenizer->encode("It is a truth, <s> 123").ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bolide::MemoryFolder folder;
  folder.clear();
  unpack({reinterpret_cast<const char*>(data), size}, folder);
  bolide::only_errors([&] { load(folder.path()); });
  bolide::only_errors([&] { tokenize(folder.path()); });
  return 0;
}
