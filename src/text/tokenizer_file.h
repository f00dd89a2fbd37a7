#pragma once

#include <filesystem>
#include <string_view>

#include "base/json.h"
#include "text/model.h"

namespace bolide::text {

// The content of a tokenizer.json, read but not understood yet.
struct TokenizerFile {
  TokenizerFile() = default;
  TokenizerFile(TokenizerFile&&) = default;
  TokenizerFile& operator=(TokenizerFile&&) = delete;
  ~TokenizerFile() { dismantle(parts), dismantle(model.options); }
  Json parts;        // all of it, but for the tables of the model
  ModelParts model;  // options are the "model" part
};

// kCorrupt naming `where` for what is no tokenizer.json: broken JSON, ids that are negative, beyond an int32
// or given twice, merges that are no pairs.
TokenizerFile parse_tokenizer_json(std::string_view text, std::string_view where);

// The same parts from GPT-2's own files: a vocabulary (an object of ids) and a list of merges, one a line.
TokenizerFile parse_vocab_and_merges(const std::filesystem::path& vocab, const std::filesystem::path& merges);

}  // namespace bolide::text
