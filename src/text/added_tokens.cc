#include "text/added_tokens.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

AddedToken read_token(const Json& row, std::string_view where) {
  AddedToken token;
  token.content = json_get<std::string>(row, "content", where);
  token.single_word = json_get<bool>(row, "single_word", where);
  token.lstrip = json_get<bool>(row, "lstrip", where);
  token.rstrip = json_get<bool>(row, "rstrip", where);
  token.normalized = json_get<bool>(row, "normalized", where);
  token.special = json_get<bool>(row, "special", where);
  return token;
}

// The list of a tokenizer.json.
std::vector<AddedToken> read_list(const Json& list, std::string_view where) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) fail(ErrorCode::kCorrupt, "{}: 'added_tokens' must be a list", where);
  std::unordered_map<int64_t, std::string, SeededHash> claimed;
  for (const Json& row : list) {
    AddedToken token = read_token(row, where);
    token.claim = json_get<int64_t>(row, "id", where);
    if (token.content.empty()) continue;
    if (token.claim < 0 || token.claim > std::numeric_limits<int32_t>::max()) {
      fail(ErrorCode::kCorrupt, "{}: added token '{}' has id {}, which is outside 0 to 2147483647", where,
           printable(token.content), token.claim);
    }
    const auto [other, is_new] = claimed.emplace(token.claim, token.content);
    if (!is_new && other->second != token.content) {
      fail(ErrorCode::kCorrupt, "{}: id {} is given to the added tokens '{}' and '{}'", where, token.claim,
           printable(other->second), printable(token.content));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

size_t skip_white_space(std::string_view text, size_t at) {
  while (at < text.size() && is_white_space(char_at(text, at))) at += char_size(text[at]);
  return at;
}

// No further back than `limit`.
size_t skip_white_space_back(std::string_view text, size_t at, size_t limit) {
  while (at > limit) {
    const size_t before = previous_char(text, at);
    if (!is_white_space(char_at(text, before))) break;
    at = before;
  }
  return std::max(at, limit);
}

// Of strings that begin leftmost, the longest.
struct Found {
  size_t begin, end;
  int32_t value;
};
std::optional<Found> find_first(const Trie& trie, std::string_view text, size_t from, Work& work) {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!trie.may_begin(text[begin])) continue;
    Found found{begin, 0, -1};
    const size_t looked = trie.match(text, begin, [&](size_t end, int32_t value) {
      found.end = end;
      found.value = value;
    });
    work.spend(16 + looked / 16);  // bytes are compared by the vector
    if (found.value >= 0) return found;
  }
  return std::nullopt;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  const bool left = begin == 0 || !is_word(char_at(text, previous_char(text, begin)));
  return left && (end == text.size() || !is_word(char_at(text, end)));
}

}  // namespace

AddedTokens::AddedTokens(const Json& list, const std::vector<AddedToken>& more, bool split_special,
                         const Vocabulary& model, const Normalizer* normalizer, std::string_view where)
    : split_special_(split_special), next_id_(static_cast<int64_t>(model.size())) {
  for (AddedToken& token : read_list(list, where)) add(std::move(token), model);
  spell(normalizer);
  for (const AddedToken& token : more) add(token, model);
  spell(normalizer);
  std::vector<std::pair<std::string_view, int32_t>> raw, normalized;
  Warnings moved;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& token = tokens_[i];
    if (token.claim >= 0 && token.claim != token.id) {
      moved.add([&] {
        return fmt::format("{}: added token '{}' has id {} in the file, but takes id {}", where,
                           printable(token.content), token.claim, token.id);
      });
    }
    token.special = special_.contains(token.content);
    if (token.normalized) {
      normalized.emplace_back(token.spelling, static_cast<int32_t>(i));
    } else {
      raw.emplace_back(token.content, static_cast<int32_t>(i));
    }
  }
  raw_ = Trie(std::move(raw));
  normalized_ = Trie(std::move(normalized));
  moved.log();
}

void AddedTokens::add(AddedToken token, const Vocabulary& model) {
  if (token.content.empty()) return;
  if (token.special) special_.insert(token.content);
  const auto known = by_content_.find(token.content);
  if (known != by_content_.end()) {
    AddedToken& before = tokens_[known->second];
    token.id = before.id;
    token.spelling = before.spelling;
    if (token.claim < 0) token.claim = before.claim;
    before = std::move(token);
    return;
  }
  const std::optional<int32_t> in_model = model.find(token.content);
  if (!in_model && next_id_ > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kCorrupt, "no id is left for the added token '{}'", printable(token.content));
  }
  token.id = in_model ? *in_model : static_cast<int32_t>(next_id_);
  // The package counts on from its largest added id, once that is beyond the model's.
  next_id_ = std::max<int64_t>(next_id_, int64_t{token.id} + 1);
  token.spelling = token.content;
  by_content_.emplace(token.content, tokens_.size());
  by_id_.emplace(token.id, tokens_.size());
  tokens_.push_back(std::move(token));
}

// Once normalised, a token is decoded so, whatever is said of it later.
void AddedTokens::spell(const Normalizer* normalizer) {
  for (AddedToken& token : tokens_) {
    if (token.normalized) token.spelling = text::normalized(normalizer, token.content);
  }
}

const AddedToken* AddedTokens::find(int32_t id) const {
  if (by_id_.empty()) return nullptr;
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

std::optional<int32_t> AddedTokens::id_of(std::string_view content) const {
  const auto found = by_content_.find(content);
  if (found == by_content_.end()) return std::nullopt;
  return tokens_[found->second].id;
}

void AddedTokens::extract(const Normalizer* normalizer, NormalizedString& text) const {
  if (!raw_.empty()) split(raw_, text);
  const bool rewrite =
      normalizer && std::any_of(text.pieces.begin(), text.pieces.end(), [&](const Piece& piece) {
        return piece.id < 0 && !normalizer->leaves(text.text(piece), text.work());
      });
  if (rewrite) {
    NormalizedString::Rewriter out(text);
    std::vector<AlignedChar> chars;
    for (const Piece& piece : text.pieces) {
      if (piece.id >= 0) {
        out.keep(piece);
        continue;
      }
      chars.clear();
      text.explode(piece, chars);
      normalizer->apply(chars, {piece.origin, max_rewritten(piece.end - piece.begin), text.work()});
      out.open(piece);
      out.put(chars);
    }
    out.finish();
  }
  if (rewrite || !normalized_.empty()) split(normalized_, text);
}

void AddedTokens::split(const Trie& trie, NormalizedString& text) const {
  std::vector<Piece> out;
  for (const Piece& piece : text.pieces) {
    if (piece.id >= 0) {
      out.push_back(piece);
    } else if (piece.begin < piece.end) {
      split_piece(trie, text, piece, out);
    }
  }
  text.pieces = std::move(out);
}

void AddedTokens::split_piece(const Trie& trie, const NormalizedString& text, const Piece& piece,
                              std::vector<Piece>& out) const {
  const std::string_view part = text.text(piece);
  const auto push = [&](size_t begin, size_t end, int32_t id) {
    if (begin < end) {
      out.push_back(
          text.cut(piece.begin + static_cast<uint32_t>(begin), piece.begin + static_cast<uint32_t>(end), id));
    }
  };
  size_t done = 0;
  size_t from = 0;
  size_t blanks_from = 0, blanks_until = 0;  // the white space that rstrip skipped last
  while (const auto found = find_first(trie, part, from, text.work())) {
    auto [begin, end, value] = *found;
    from = end;
    const AddedToken& token = tokens_[static_cast<size_t>(value)];
    if (split_special_ && token.special) continue;
    if (token.single_word && !stands_alone(part, begin, end)) continue;
    if (token.lstrip) begin = skip_white_space_back(part, begin, done);
    if (token.rstrip) {
      // A token of blanks is found in what the one before skipped, again and again: skipping it once is
      // enough.
      if (end < blanks_from || end > blanks_until) {
        blanks_from = end;
        blanks_until = skip_white_space(part, end);
        text.work().spend(4 * (blanks_until - end));
      }
      end = blanks_until;
    }
    push(done, begin, -1);
    push(begin, end, token.id);
    done = end;
  }
  push(done, part.size(), -1);
}

}  // namespace bolide::text
