#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "text/model.h"
#include "text/trie.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

// The longest token that the rest of the word begins with, again and again.
class WordPiece : public Model {
 public:
  explicit WordPiece(ModelParts& parts)
      : Model(std::move(parts.vocabulary)),
        prefix_(json_get<std::string>(parts.options, "continuing_subword_prefix", parts.where)),
        longest_word_(json_get<uint64_t>(parts.options, "max_input_chars_per_word", parts.where)) {
    const auto unknown = json_get<std::string>(parts.options, "unk_token", parts.where);
    const auto id = vocabulary_.find(unknown);
    if (!id) {
      fail(ErrorCode::kCorrupt, "{}: the unk_token '{}' is not in the vocabulary", parts.where,
           printable(unknown));
    }
    unk_id_ = *id;
    trie_ = vocabulary_.trie();
    behind_prefix_ = trie_.find({}, prefix_);
  }

  void tokenize(std::string_view word, std::vector<Token>& out, Work& work) const override {
    const size_t first = out.size();
    const auto chars = static_cast<uint64_t>(
        std::count_if(word.begin(), word.end(), [](char byte) { return !is_continuation(byte); }));
    bool known = chars <= longest_word_;
    for (size_t at = 0; known && at < word.size();) {
      size_t size = 0;
      int32_t id = -1;
      const auto take = [&](size_t end, int32_t value) {
        if (end > at && (end == word.size() || !is_continuation(word[end]))) size = end - at, id = value;
      };
      const size_t looked = trie_.match(at > 0 ? behind_prefix_ : Trie::Place{}, word, at, take);
      work.spend(16 + looked / 16);
      known = size > 0;
      if (known) out.push_back({id, static_cast<uint32_t>(size)});
      at += size;
    }
    if (known) return;
    out.resize(first);
    out.push_back({unk_id_, static_cast<uint32_t>(word.size())});
  }

 private:
  std::string prefix_;
  uint64_t longest_word_;  // characters; a longer word is unknown
  int32_t unk_id_;
  Trie trie_;
  Trie::Place behind_prefix_;
};

}  // namespace

std::unique_ptr<Model> make_word_piece(ModelParts& parts) { return std::make_unique<WordPiece>(parts); }

}  // namespace bolide::text
