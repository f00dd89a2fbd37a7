// A tokenizer.json, and behind the first NUL byte (which JSON cannot hold) a text for it.
#include <cstdlib>

#include "support.h"
#include "text/hf_tokenizer.h"
#include "tokenizer_run.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(all.find('\0'), all.size());
  // A pattern may take its whole second at every character: few of them keep the fuzzer going.
  const std::string_view text = all.substr(std::min(end + 1, all.size())).substr(0, 200);
  bolide::only_errors([&] {
    const auto tokenizer = bolide::text::make_tokenizer(
        bolide::text::parse_tokenizer_json(all.substr(0, end), "tokenizer.json"));
    bolide::run_tokenizer(*tokenizer, text);
  });
  return 0;
}
