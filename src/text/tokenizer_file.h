#pragma once

#include <filesystem>
#include <string_view>

#include "base/json.h"
#include "text/model.h"
#include "text/token_files.h"

namespace bolide::text {

// Vocabulary files of today's models stay under 40 MB. In memory a file takes up to some 25 times its size,
// where it is all small lists, and some 6 times as a vocabulary.
constexpr size_t kMaxTokenizerBytes = size_t{128} << 20;

// The content of a tokenizer.json, read but not understood yet.
struct TokenizerFile {
  TokenizerFile() = default;
  TokenizerFile(TokenizerFile&&) = default;
  TokenizerFile& operator=(TokenizerFile&&) = delete;
  ~TokenizerFile() { dismantle(parts), dismantle(model.options); }
  Json parts;        // all of it, but for the tables of the model
  ModelParts model;  // options are the "model" part
  TokenFiles beside;
};

// kCorrupt naming `where` for what is no tokenizer.json: broken JSON, ids that are negative, beyond an int32
// or given twice, merges that are no pairs.
TokenizerFile parse_tokenizer_json(std::string_view text, std::string_view where);

// The same parts from GPT-2's own files: a vocabulary (an object of ids) and a list of merges, one a line.
TokenizerFile parse_vocab_and_merges(const std::filesystem::path& vocab, const std::filesystem::path& merges);

}  // namespace bolide::text
