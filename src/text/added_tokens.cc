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

size_t skip_white_space(std::string_view text, size_t at) {
  while (at < text.size() && is_white_space(char_at(text, at))) at += char_size(text[at]);
  return at;
}

size_t skip_white_space_back(std::string_view text, size_t at) {
  while (at > 0) {
    const size_t before = previous_char(text, at);
    if (!is_white_space(char_at(text, before))) break;
    at = before;
  }
  return at;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  const bool left = begin == 0 || !is_word(char_at(text, previous_char(text, begin)));
  return left && (end == text.size() || !is_word(char_at(text, end)));
}

}  // namespace

void TokenTrie::add(std::string_view token, size_t value) {
  uint32_t node = 0;
  for (const char each : token) {
    const auto byte = static_cast<uint8_t>(each);
    auto& children = nodes_[node].children;
    const auto place =
        std::lower_bound(children.begin(), children.end(), std::pair<uint8_t, uint32_t>{byte, 0});
    if (place != children.end() && place->first == byte) {
      node = place->second;
      continue;
    }
    const auto made = static_cast<uint32_t>(nodes_.size());
    children.insert(place, {byte, made});
    nodes_.emplace_back();
    node = made;
  }
  if (token.empty()) return;
  nodes_[node].value = value;
  starts_[static_cast<uint8_t>(token[0])] = true;
}

std::optional<TokenTrie::Found> TokenTrie::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<uint8_t>(text[begin])]) continue;
    Found found{begin, 0, SIZE_MAX};
    uint32_t node = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      const auto& children = nodes_[node].children;
      const auto byte = static_cast<uint8_t>(text[at]);
      const auto place =
          std::lower_bound(children.begin(), children.end(), std::pair<uint8_t, uint32_t>{byte, 0});
      if (place == children.end() || place->first != byte) break;
      node = place->second;
      if (nodes_[node].value != SIZE_MAX) found.end = at + 1, found.value = nodes_[node].value;
    }
    if (found.value != SIZE_MAX) return found;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(const Json& list, const Vocabulary& model, const Normalizer* normalizer,
                         std::string_view where) {
  if (list.is_null()) return;
  if (!list.is_array()) fail(ErrorCode::kCorrupt, "{}: 'added_tokens' must be a list", where);
  int64_t next_id = static_cast<int64_t>(model.size());
  std::unordered_map<int64_t, std::string> claimed;
  for (const Json& row : list) {
    AddedToken token = read_token(row, where);
    const auto claim = json_get<int64_t>(row, "id", where);
    if (token.content.empty()) continue;
    if (claim < 0 || claim > std::numeric_limits<int32_t>::max()) {
      fail(ErrorCode::kCorrupt, "{}: added token '{}' has id {}, which is outside 0 to 2147483647", where,
           printable(token.content), claim);
    }
    const auto [other, is_new] = claimed.emplace(claim, token.content);
    if (!is_new && other->second != token.content) {
      fail(ErrorCode::kCorrupt, "{}: id {} is given to the added tokens '{}' and '{}'", where, claim,
           printable(other->second), printable(token.content));
    }
    const auto known = by_content_.find(token.content);
    const std::optional<int32_t> in_model = model.find(token.content);
    token.id = known != by_content_.end() ? tokens_[known->second].id
               : in_model                 ? *in_model
                                          : static_cast<int32_t>(next_id++);
    if (token.id != claim) {
      log::warn("{}: added token '{}' has id {} in the file, but takes id {}", where,
                printable(token.content), claim, token.id);
    }
    token.spelling = token.normalized ? text::normalized(normalizer, token.content) : token.content;
    if (token.special) special_.emplace(token.content, true);
    if (known != by_content_.end()) {
      tokens_[known->second] = std::move(token);
      continue;
    }
    by_content_.emplace(token.content, tokens_.size());
    by_id_.emplace(token.id, tokens_.size());
    tokens_.push_back(std::move(token));
  }
  for (size_t i = 0; i < tokens_.size(); ++i) {
    (tokens_[i].normalized ? normalized_ : raw_).add(tokens_[i].spelling, i);
  }
}

const AddedToken* AddedTokens::find(int32_t id) const {
  if (by_id_.empty()) return nullptr;
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

std::optional<int32_t> AddedTokens::id_of(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  if (found == by_content_.end()) return std::nullopt;
  return tokens_[found->second].id;
}

void AddedTokens::extract(const Normalizer* normalizer, AlignedText& text) const {
  if (!raw_.empty()) split(raw_, text);
  const bool rewrite =
      normalizer && std::any_of(text.pieces.begin(), text.pieces.end(), [&](const Piece& piece) {
        return piece.id < 0 && !normalizer->leaves(text.text(piece));
      });
  if (rewrite) {
    AlignedText::Rewriter out(text);
    std::vector<AlignedChar> chars;
    for (const Piece& piece : text.pieces) {
      if (piece.id >= 0) {
        out.keep(piece);
        continue;
      }
      chars.clear();
      text.explode(piece, chars);
      normalizer->apply(chars, {piece.origin, max_normalized(piece.end - piece.begin)});
      out.open(piece);
      out.put(chars);
    }
    out.finish();
  }
  if (rewrite || !normalized_.empty()) split(normalized_, text);
}

void AddedTokens::split(const TokenTrie& trie, AlignedText& text) const {
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

void AddedTokens::split_piece(const TokenTrie& trie, const AlignedText& text, const Piece& piece,
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
  while (const auto found = trie.find(part, from)) {
    auto [begin, end, value] = *found;
    from = end;
    const AddedToken& token = tokens_[value];
    if (token.single_word && !stands_alone(part, begin, end)) continue;
    if (token.lstrip) begin = std::max(skip_white_space_back(part, begin), done);
    if (token.rstrip) end = skip_white_space(part, end);
    push(done, begin, -1);
    push(begin, end, token.id);
    done = end;
  }
  push(done, part.size(), -1);
}

}  // namespace bolide::text
