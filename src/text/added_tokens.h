#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "text/hash.h"
#include "text/normalized_string.h"
#include "text/normalizer.h"
#include "text/trie.h"
#include "text/vocabulary.h"

namespace bolide::text {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool single_word = false;             // only between characters that are not of a word
  bool lstrip = false, rstrip = false;  // takes in the white space before and after it
  bool normalized = false;              // is looked for in normalised text, in its own normalised form
  bool special = false;                 // decoding may leave it out
  int64_t claim = -1;                   // the id that its file gives it; -1: none
  std::string spelling = {};            // content, normalised where `normalized` says so: what decoding gives
};

// The tokens that are cut out of the text before the model sees it. Const methods are thread-safe.
class AddedTokens {
 public:
  // The "added_tokens" list and, behind it, `more` from other files. Ids are given as the `tokenizers`
  // package gives them, which goes by the content and not by the file's "id": the model's id where it knows
  // the content, else the next free one. A token that comes again takes its new flags, but stays special.
  // `split_special`: special tokens are text like any other.
  AddedTokens(const Json& list, const std::vector<AddedToken>& more, bool split_special,
              const Vocabulary& model, const Normalizer* normalizer, std::string_view where);

  // Cuts the added tokens out of `text`, a single piece, and normalises the rest.
  void extract(const Normalizer* normalizer, NormalizedString& text) const;

  const AddedToken* find(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view content) const;
  // Whether a spelling is that of a special token; decoding asks for the spelling, as the package does.
  bool is_special(std::string_view spelling) const { return special_.contains(spelling); }
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  void add(AddedToken token, const Vocabulary& model);
  void spell(const Normalizer* normalizer);
  void split(const Trie& trie, NormalizedString& text) const;
  void split_piece(const Trie& trie, const NormalizedString& text, const Piece& piece,
                   std::vector<Piece>& out) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t, SeededHash> by_id_;
  std::unordered_map<std::string, size_t, SeededHash, std::equal_to<>> by_content_;
  std::unordered_set<std::string, SeededHash, std::equal_to<>> special_;
  bool split_special_;
  int64_t next_id_;
  Trie raw_, normalized_;
};

}  // namespace bolide::text
