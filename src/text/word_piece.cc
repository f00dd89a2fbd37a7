#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "text/model.h"
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
  }

  void tokenize(std::string_view word, std::vector<Token>& out) const override {
    const size_t first = out.size();
    const auto chars = static_cast<uint64_t>(
        std::count_if(word.begin(), word.end(), [](char byte) { return !is_continuation(byte); }));
    bool known = chars <= longest_word_;
    std::string spelling;
    for (size_t at = 0; known && at < word.size();) {
      spelling = at > 0 ? prefix_ : "";
      const size_t front = spelling.size();
      // No token is longer than the longest one, so that a long word costs no more than its length.
      size_t size = std::min(word.size() - at, vocabulary_.longest());
      while (size > 0 && at + size < word.size() && is_continuation(word[at + size])) --size;
      spelling.append(word.substr(at, size));
      known = false;
      while (size > 0) {
        if (const auto id = vocabulary_.find(spelling)) {
          out.push_back({*id, static_cast<uint32_t>(size)});
          known = true;
          break;
        }
        size = previous_char(word, at + size) - at;
        spelling.resize(front + size);
      }
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
};

}  // namespace

std::unique_ptr<Model> make_word_piece(ModelParts& parts) { return std::make_unique<WordPiece>(parts); }

}  // namespace bolide::text
