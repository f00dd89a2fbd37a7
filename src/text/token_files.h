#pragma once

#include <filesystem>
#include <map>
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
  // Tokens put before and behind a text, and before the second of a pair, whose tokens have the type 1 where
  // `typed`. All empty: what the post-processor of tokenizer.json says.
  std::vector<std::string> before, before_second, behind;
  bool typed = true;
  std::map<std::string, std::string> roles;  // "bos_token" and its like, and the token that has the role
  std::vector<std::string> extra;            // of extra_special_tokens or additional_special_tokens
};

// What the kind of tokenizer, or its vocabulary's file, says where the files do not.
struct TokenDefaults {
  std::map<std::string, std::string> roles;
  // What takes the place of additional_special_tokens where tokenizer_config.json has no such list.
  std::vector<AddedToken> extra;
  bool mask_takes_blanks = false;  // a mask_token that is a bare string takes in the white space before it
};

// Reads tokenizer_config.json, special_tokens_map.json and added_tokens.json, none of which need be there.
// `tokenizer` is the tokenizer.json, null without one. Which file wins is as in transformers 5: where
// tokenizer_config.json has added_tokens_decoder, the other two files are not read; else
// special_tokens_map.json goes before tokenizer_config.json, and an id of the tokenizer.json before the same
// id of added_tokens.json. kCorrupt naming the file for a token that is neither a string nor an object of
// one.
TokenFiles read_token_files(const std::filesystem::path& folder, const Json& tokenizer,
                            const TokenDefaults& defaults = {});

}  // namespace bolide::text
