// A sentencepiece or tiktoken file behind a byte that chooses the class of tokenizer.
#include "support.h"
#include "text/hf_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tiktoken.h"
#include "tokenizer_run.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr const char* kClasses[] = {"TokenizersBackend", "LlamaTokenizer",     "GemmaTokenizer",
                                      "T5Tokenizer",       "CamembertTokenizer", "XLMRobertaTokenizer",
                                      "QWenTokenizer"};
  if (size == 0) return 0;
  static const bolide::MemoryFolder folder;
  const size_t choice = data[0] % std::size(kClasses);
  folder.write("tokenizer_config.json", std::string(R"({"tokenizer_class": ")") + kClasses[choice] +
                                            R"(", "add_bos_token": true, "extra_ids": 3})");
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::filesystem::path path = folder.path() / "tokenizer.model";
  bolide::only_errors([&] {
    const auto tokenizer = bolide::text::make_tokenizer(bolide::text::is_tiktoken(bytes)
                                                            ? bolide::text::read_tiktoken(path, bytes)
                                                            : bolide::text::read_sentencepiece(path, bytes));
    for (const char* text :
         {"the  quick\nfox ab<sep>", " \u2581\u4E16\u754C \xFF\xF0\x9F\x99\x82<s>aab ", ""}) {
      bolide::run_tokenizer(*tokenizer, text);
    }
  });
  return 0;
}
