// A tokenizer.json, and behind the first NUL byte (which JSON cannot hold) a text for it.
#include <cstdlib>

#include "support.h"
#include "text/hf_tokenizer.h"

namespace {

void run(const bolide::Tokenizer& tokenizer, std::string_view text) {
  const bolide::Encoding encoding = tokenizer.encode_pair(text, text);
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    const auto [begin, end] = encoding.offsets[i];
    if (begin < 0 || begin > end || end > static_cast<int64_t>(text.size())) std::abort();
  }
  bolide::StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const int32_t id : encoding.ids) streamed += stream.push(id);
  streamed += stream.finish();
  if (streamed != tokenizer.decode(encoding.ids)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(all.find('\0'), all.size());
  // A pattern may take its whole second at every character: few of them keep the fuzzer going.
  const std::string_view text = all.substr(std::min(end + 1, all.size())).substr(0, 200);
  bolide::only_errors([&] {
    const auto tokenizer = bolide::text::make_tokenizer(
        bolide::text::parse_tokenizer_json(all.substr(0, end), "tokenizer.json"));
    run(*tokenizer, text);
  });
  return 0;
}
