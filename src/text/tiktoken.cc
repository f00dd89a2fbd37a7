#include "text/tiktoken.h"

#include <charconv>
#include <map>

#include "base/printable.h"
#include "text/base64.h"
#include "text/byte_level.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/splits.h"

namespace bolide::text {
namespace {

namespace fs = std::filesystem;

// How words are cut: but for how many digits make one, the two are the same.
std::string word_pattern(std::string_view digits) {
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + std::string(digits) +
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

void read_ranks(std::string_view text, const std::string& where, ModelParts& model) {
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    ++number;
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto wrong = [&](std::string_view what) {
      fail(ErrorCode::kCorrupt, "{}: line {} {}", where, number, what);
    };
    const size_t blank = std::min(line.find(' '), line.size());
    std::string bytes, letters;
    if (!decode_base64(line.substr(0, blank), bytes) || bytes.empty()) wrong("has no token in base64");
    int32_t rank = -1;
    const char* last = line.data() + line.size();
    const auto read = std::from_chars(line.data() + std::min(blank + 1, line.size()), last, rank);
    if (read.ec != std::errc() || read.ptr != last || rank < 0) wrong("has no rank behind its token");
    append_letters(bytes, letters);
    switch (model.vocabulary.add(letters, rank)) {
      case Vocabulary::Added::kYes:
        break;
      case Vocabulary::Added::kTokenKnown:
        wrong("has a token that is there already");
        break;
      case Vocabulary::Added::kIdKnown:
        wrong("has a rank that is there already");
        break;
    }
  }
}

// The tokens that the files beside it name, special all of them: those behind the ranks by their ids, then
// the rest. Ids in between that nobody names are reserved.
void add_special(TokenizerFile& file, const std::string& where) {
  const auto base = static_cast<int64_t>(file.model.vocabulary.size());
  std::map<int64_t, std::string> named;
  for (const AddedToken& token : file.beside.tokens) {
    if (token.claim >= 0) named[token.claim] = token.content;
  }
  std::vector<std::string> tokens;
  const int64_t last = named.empty() ? -1 : named.rbegin()->first;
  constexpr int64_t kMaxSpecial = 100'000;
  if (last > base + kMaxSpecial) {
    fail(ErrorCode::kCorrupt, "{}: has {} tokens, and a file beside it names one of id {}", where, base,
         last);
  }
  for (int64_t id = base; id <= last; ++id) {
    const auto found = named.find(id);
    tokens.push_back(found != named.end() ? found->second : fmt::format("<|reserved_token_{}|>", id));
  }
  tokens.insert(tokens.end(), file.beside.extra.begin(), file.beside.extra.end());
  std::vector<AddedToken> out;
  for (std::string& token : tokens) out.push_back({.content = std::move(token), .special = true});
  file.beside.tokens.insert(file.beside.tokens.begin(), out.begin(), out.end());
}

}  // namespace

bool is_tiktoken(std::string_view bytes) {
  const size_t blank = bytes.substr(0, 4096).find(' ');
  std::string token;
  return blank != bytes.npos && blank > 0 && decode_base64(bytes.substr(0, blank), token);
}

TokenizerFile read_tiktoken(const fs::path& path, std::string_view bytes) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const std::string where = path.string(), name = tokenizer_class(folder);
  const bool qwen = path.filename() == "qwen.tiktoken" || name == "QWenTokenizer";
  if (!qwen && path.extension() != ".model") {
    fail(ErrorCode::kUnsupported,
         "{}: it does not say how text is cut into words, and tokenizer_config.json names no tokenizer_class "
         "that does: put a tokenizer.json beside it",
         where);
  }
  TokenizerFile file;
  file.model.where = where;
  read_ranks(bytes, where, file.model);
  TokenDefaults defaults;
  if (name == "LlamaTokenizer")
    defaults.roles = {{"unk_token", "<unk>"}, {"bos_token", "<s>"}, {"eos_token", "</s>"}};
  if (qwen) {
    for (const char* each : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
      defaults.extra.push_back({.content = each, .special = true});
    constexpr int kReserved = 205;
    for (int i = 0; i < kReserved; ++i)
      defaults.extra.push_back({.content = fmt::format("<|extra_{}|>", i), .special = true});
  }
  file.beside = read_token_files(folder, Json(), defaults);
  add_special(file, where);
  Splits splits([&](std::string_view token) { return file.model.vocabulary.find(token); }, where);
  for (int32_t rank = 0; static_cast<size_t>(rank) < file.model.vocabulary.size(); ++rank) {
    const auto token = file.model.vocabulary.token(rank);
    if (!token) fail(ErrorCode::kCorrupt, "{}: no token has the rank {}", where, rank);
    splits.append(*token, true);
  }
  file.model.merges = splits.take();
  file.model.options = {{"type", "BPE"}, {"merges", nullptr}, {"ignore_merges", true}};
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  const Json words = {{"type", "Split"},
                      {"pattern", {{"Regex", word_pattern(qwen ? R"(\p{N})" : R"(\p{N}{1,3})")}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  file.parts = {{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {words, byte_level}}}},
                {"decoder", byte_level}};
  if (qwen) file.parts["normalizer"] = {{"type", "NFC"}};
  return file;
}

}  // namespace bolide::text
