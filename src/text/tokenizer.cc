#include "bolide/tokenizer.h"

#include <algorithm>
#include <iterator>
#include <new>

#include "base/error.h"
#include "base/file.h"
#include "text/hf_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tiktoken.h"
#include "text/utf8.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

// What GPT-2's tokenizer.json says besides the tables.
void add_gpt2_parts(text::TokenizerFile& file) {
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", true}};
  file.model.options = {{"type", "BPE"}, {"merges", nullptr}};
  file.parts = {{"pre_tokenizer", byte_level}, {"decoder", byte_level}, {"added_tokens", Json::array()}};
  constexpr const char* kEnd = "<|endoftext|>";
  if (const auto id = file.model.vocabulary.find(kEnd)) {
    file.parts["added_tokens"].push_back({{"id", *id},
                                          {"content", kEnd},
                                          {"single_word", false},
                                          {"lstrip", false},
                                          {"rstrip", false},
                                          {"normalized", true},
                                          {"special", true}});
  }
}

// Decodes everything again with each id, and gives out what is new and whole.
class SlowStream : public DecodeStream {
 public:
  SlowStream(const Tokenizer& tokenizer, bool skip) : tokenizer_(tokenizer), skip_(skip) {}
  void push(int32_t id, std::string& out) override {
    ids_.push_back(id);
    const std::string text = tokenizer_.decode(ids_, skip_);
    if (!text.ends_with(text::kReplacement)) emit(text, out);
  }
  void finish(std::string& out) override { emit(tokenizer_.decode(ids_, skip_), out); }

 private:
  void emit(const std::string& text, std::string& out) {
    if (text.size() > emitted_) out.append(text, emitted_);
    emitted_ = std::max(emitted_, text.size());
  }
  const Tokenizer& tokenizer_;
  bool skip_;
  std::vector<int32_t> ids_;
  size_t emitted_ = 0;
};

// The file of a sentencepiece model, or of tiktoken; empty where there is none.
fs::path model_file(const fs::path& folder) {
  for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tiktoken.model"}) {
    if (path_exists(folder / name)) return folder / name;
  }
  if (!is_folder(folder)) return {};
  for (const fs::path& path : list_folder(folder)) {
    if (path.extension() == ".tiktoken") return path;
  }
  return {};
}

// FasterTransformer's scripts hand their --tokenizer-path to Hugging Face, which takes one of its files as
// well.
fs::path folder_of(const fs::path& path) {
  if (!is_regular(path)) return path;
  constexpr const char* kFiles[] = {"tokenizer.json", "tokenizer_config.json", "vocab.json",
                                    "merges.txt",     "encoder.json",          "vocab.bpe"};
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (std::find(std::begin(kFiles), std::end(kFiles), path.filename()) == std::end(kFiles) &&
      path.filename() != model_file(folder).filename()) {
    fail(ErrorCode::kUsage,
         "'{}' is no file of a tokenizer that is read here: give its folder, with tokenizer.json, "
         "tokenizer.model, or vocab.json and merges.txt",
         printable(path.string()));
  }
  return folder;
}

std::unique_ptr<Tokenizer> read_folder(const fs::path& folder, TokenizerOptions options) {
  const fs::path whole = folder / "tokenizer.json";
  if (path_exists(whole)) {
    const std::string json = read_text_file(whole, text::kMaxTokenizerBytes);
    refuse_stand_in(json, whole);
    text::TokenizerFile file = text::parse_tokenizer_json(json, whole.string());
    file.beside = text::read_token_files(folder, file.parts);
    return text::make_tokenizer(std::move(file), std::move(options));
  }
  if (const fs::path path = model_file(folder); !path.empty()) {
    const std::string bytes = read_text_file(path, text::kMaxTokenizerBytes);
    refuse_stand_in(bytes, path);
    return text::make_tokenizer(
        text::is_tiktoken(bytes) ? text::read_tiktoken(path, bytes) : text::read_sentencepiece(path, bytes),
        std::move(options));
  }
  constexpr std::pair<const char*, const char*> kPairs[] = {{"vocab.json", "merges.txt"},
                                                            {"encoder.json", "vocab.bpe"}};
  for (const auto& [vocab, merges] : kPairs) {
    if (!path_exists(folder / vocab) || !path_exists(folder / merges)) continue;
    text::TokenizerFile file = text::parse_vocab_and_merges(folder / vocab, folder / merges);
    add_gpt2_parts(file);
    file.beside = text::read_token_files(folder, Json());
    return text::make_tokenizer(std::move(file), std::move(options));
  }
  fail(ErrorCode::kNotFound,
       "{} has no tokenizer: neither tokenizer.json nor tokenizer.model nor vocab.json with merges.txt "
       "(--tokenizer-path names the folder of one)",
       folder.string());
}

}  // namespace

std::unique_ptr<DecodeStream> Tokenizer::stream(bool skip_special_tokens) const {
  return std::make_unique<SlowStream>(*this, skip_special_tokens);
}

std::unique_ptr<Tokenizer> Tokenizer::load(const fs::path& folder, TokenizerOptions options) {
  try {
    return read_folder(folder_of(folder), std::move(options));
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kResource, "{}: not enough memory for the tokenizer", folder.string());
  }
}

}  // namespace bolide
