#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "text/aligned_text.h"
#include "text/normalizer.h"
#include "text/vocabulary.h"

namespace bolide::text {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool single_word = false;             // only between characters that are not of a word
  bool lstrip = false, rstrip = false;  // takes in the white space before and after it
  bool normalized = false;              // is looked for in normalised text, in its own normalised form
  bool special = false;                 // decoding may leave it out
  std::string spelling;                 // content, normalised where `normalized` says so: what decoding gives
};

// Finds any of a set of strings in text: of those that begin leftmost, the longest.
class TokenTrie {
 public:
  void add(std::string_view token, size_t value);
  bool empty() const { return nodes_.size() == 1; }
  struct Found {
    size_t begin, end, value;
  };
  std::optional<Found> find(std::string_view text, size_t from) const;

 private:
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;  // sorted by byte
    size_t value = SIZE_MAX;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::array<bool, 256> starts_{};  // bytes that a token begins with
};

// The tokens that are cut out of the text before the model sees it. Const methods are thread-safe.
class AddedTokens {
 public:
  // The "added_tokens" list. Ids are given as the `tokenizers` package gives them, which goes by the content
  // and not by the file's "id": the model's id where it knows the content, else the next free one.
  AddedTokens(const Json& list, const Vocabulary& model, const Normalizer* normalizer,
              std::string_view where);

  // Cuts the added tokens out of `text`, a single piece, and normalises the rest.
  void extract(const Normalizer* normalizer, AlignedText& text) const;

  const AddedToken* find(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view content) const;
  // Whether a spelling is that of a special token; decoding asks for the spelling, as the package does.
  bool is_special(std::string_view spelling) const { return special_.contains(std::string(spelling)); }
  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  void split(const TokenTrie& trie, AlignedText& text) const;
  void split_piece(const TokenTrie& trie, const AlignedText& text, const Piece& piece,
                   std::vector<Piece>& out) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, size_t> by_content_;
  std::unordered_map<std::string, bool> special_;
  TokenTrie raw_, normalized_;
};

}  // namespace bolide::text
