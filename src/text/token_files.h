#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/added_tokens.h"

namespace bolide::text {

// What the files beside a tokenizer.json say about it.
struct TokenFiles {
  std::vector<AddedToken> tokens;  // to be added behind the tokenizer's own, in this order
  bool split_special_tokens = false;
  // English punctuation of decoded text loses the blanks before it; with a BPE model, whose blanks are the
  // text's own, only where `clean_up_bpe` asks for it, too.
  bool clean_up = false, clean_up_bpe = false;
  // Put before and behind a text; empty: nothing. Only for a tokenizer without a tokenizer.json, whose
  // post-processor says it otherwise.
  std::string bos, eos;
};

// Reads tokenizer_config.json, special_tokens_map.json and added_tokens.json, none of which need be there.
// `tokenizer` is the tokenizer.json, null without one. Which file wins is as in transformers 5: where
// tokenizer_config.json has added_tokens_decoder, the other two files are not read; else
// special_tokens_map.json goes before tokenizer_config.json, and an id of the tokenizer.json before the same
// id of added_tokens.json. kCorrupt naming the file for a token that is neither a string nor an object of
// one.
TokenFiles read_token_files(const std::filesystem::path& folder, const Json& tokenizer);

}  // namespace bolide::text
