#include <algorithm>
#include <array>
#include <queue>

#include "base/error.h"
#include "base/printable.h"
#include "text/byte_level.h"
#include "text/model.h"
#include "text/trie.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

// A token on its way: neighbours are joined until no merge is left.
struct Symbol {
  int32_t id;
  uint32_t size;        // bytes of the word; 0 once its left neighbour took it in
  int32_t left, right;  // neighbours; -1: none
};

class Bpe : public Model {
 public:
  Bpe(ModelParts& parts, BpeOptions options, bool raw);
  void tokenize(std::string_view word, std::vector<Token>& out, Work& work) const override;

 private:
  void read_merges(const ModelParts& parts);
  void read_byte_tokens();
  bool whole_word(std::string_view word, std::vector<Token>& out) const;
  void spell(std::string_view word, std::vector<Token>& out, Work& work) const;
  std::string decorate(std::string_view letter, bool first, bool last) const;
  int32_t find_decorated(std::string_view letter, bool first, bool last, Work& work) const;
  bool spell_as_bytes(std::string_view letters, std::vector<Token>& out) const;
  void merge_short(std::vector<Token>& out, size_t first) const;
  void merge_long(std::vector<Token>& out, size_t first, Work& work) const;

  BpeOptions options_;
  bool raw_;
  int32_t unk_id_ = -1;
  MergeTable merges_;
  std::array<int32_t, 256> letter_ids_;    // raw: of the letter of a byte
  std::array<int32_t, 256> fallback_ids_;  // of <0x00> to <0xFF>; -1: not in the vocabulary
  std::array<int32_t, 128> ascii_ids_;     // of a character of one byte; -1: not in the vocabulary
  // Only with a prefix or suffix, which may be long: a letter is looked up where the prefix ends.
  Trie decorated_;
  Trie::Place behind_prefix_;
};

Bpe::Bpe(ModelParts& parts, BpeOptions options, bool raw)
    : Model(std::move(parts.vocabulary)), options_(std::move(options)), raw_(raw) {
  if (!options_.unk_token.empty()) {
    const auto id = vocabulary_.find(options_.unk_token);
    if (!id) {
      fail(ErrorCode::kCorrupt, "{}: the unk_token '{}' is not in the vocabulary", parts.where,
           printable(options_.unk_token));
    }
    unk_id_ = *id;
  }
  read_byte_tokens();
  read_merges(parts);
  if (options_.prefix.empty() && options_.suffix.empty()) return;
  // Each of its bytes would be a token.
  constexpr size_t kMaxAsBytes = 32;
  if (options_.byte_fallback && std::max(options_.prefix.size(), options_.suffix.size()) > kMaxAsBytes) {
    fail(ErrorCode::kUnsupported,
         "{}: BPE with byte_fallback and a continuing_subword_prefix or end_of_word_suffix of more than {} "
         "bytes",
         parts.where, kMaxAsBytes);
  }
  decorated_ = vocabulary_.trie();
  behind_prefix_ = decorated_.find({}, options_.prefix);
}

void Bpe::read_byte_tokens() {
  for (int byte = 0; byte < 256; ++byte) {
    const auto at = static_cast<size_t>(byte);
    letter_ids_[at] = vocabulary_.find(byte_letter(static_cast<unsigned char>(byte))).value_or(-1);
    fallback_ids_[at] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    if (byte < 128) ascii_ids_[at] = vocabulary_.find(std::string(1, static_cast<char>(byte))).value_or(-1);
  }
}

void Bpe::read_merges(const ModelParts& parts) {
  merges_.reserve(parts.merges.size());
  const auto id_of = [&](std::string_view token, size_t rank) {
    const auto id = vocabulary_.find(token);
    if (!id) {
      fail(ErrorCode::kCorrupt, "{}: merge {} refers to '{}', which is not in the vocabulary", parts.where,
           rank, printable(token));
    }
    return *id;
  };
  std::string joined;
  for (size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const auto& [left, right] = parts.merges[rank];
    joined = left;
    joined.append(right, std::min(options_.prefix.size(), right.size()));
    const int32_t left_id = id_of(left, rank), right_id = id_of(right, rank);
    merges_.set(left_id, right_id, {static_cast<uint32_t>(rank), id_of(joined, rank)});
  }
}

void Bpe::tokenize(std::string_view word, std::vector<Token>& out, Work& work) const {
  if (options_.ignore_merges && whole_word(word, out)) return;
  const size_t first = out.size();
  if (raw_) {
    for (const char byte : word) out.push_back({letter_ids_[static_cast<unsigned char>(byte)], 1});
  } else {
    spell(word, out, work);
  }
  // Measured: looking for the lowest rank by going through all pairs wins up to about 40 of them.
  constexpr size_t kShort = 40;
  if (out.size() - first <= kShort) {
    merge_short(out, first);
  } else {
    merge_long(out, first, work);
  }
}

bool Bpe::whole_word(std::string_view word, std::vector<Token>& out) const {
  std::string letters;
  if (raw_) append_letters(word, letters);
  const auto id = vocabulary_.find(raw_ ? std::string_view(letters) : word);
  if (id) out.push_back({*id, static_cast<uint32_t>(word.size())});
  return id.has_value();
}

std::string Bpe::decorate(std::string_view letter, bool first, bool last) const {
  return std::string(first ? "" : options_.prefix).append(letter).append(last ? options_.suffix : "");
}

bool Bpe::spell_as_bytes(std::string_view letters, std::vector<Token>& out) const {
  const auto known = [&](char byte) { return fallback_ids_[static_cast<unsigned char>(byte)] >= 0; };
  if (!std::all_of(letters.begin(), letters.end(), known)) return false;
  for (const char byte : letters) out.push_back({fallback_ids_[static_cast<unsigned char>(byte)], 1});
  return true;
}

// The id of a letter with the prefix before it, unless it is the word's first, and the suffix behind its
// last.
int32_t Bpe::find_decorated(std::string_view letter, bool first, bool last, Work& work) const {
  Trie::Place place = decorated_.find(first ? Trie::Place{} : behind_prefix_, letter);
  if (last) {
    work.spend(options_.suffix.size() / 16);
    place = decorated_.find(place, options_.suffix);
  }
  return decorated_.value(place);
}

// One token for each character; what is not in the vocabulary becomes bytes, the unknown token, or nothing.
void Bpe::spell(std::string_view word, std::vector<Token>& out, Work& work) const {
  const bool plain = options_.prefix.empty() && options_.suffix.empty();
  uint32_t unknown = 0;  // bytes of the unknown token that is still open
  const auto close_unknown = [&] {
    if (unknown > 0) out.push_back({unk_id_, unknown});
    unknown = 0;
  };
  for (size_t at = 0; at < word.size();) {
    const size_t size = std::min(char_size(word[at]), word.size() - at);
    const bool last = at + size == word.size();
    const std::string_view spelling = word.substr(at, size);
    const int32_t id = !plain      ? find_decorated(spelling, at == 0, last, work)
                       : size == 1 ? ascii_ids_[static_cast<unsigned char>(spelling[0]) & 0x7F]
                                   : vocabulary_.find(spelling).value_or(-1);
    at += size;
    if (id >= 0) {
      close_unknown();
      out.push_back({id, static_cast<uint32_t>(size)});
    } else if (options_.byte_fallback && spell_as_bytes(decorate(spelling, at == size, last), out)) {
      continue;  // an unknown token that is open stays so and comes after these bytes, as in the package
    } else if (unk_id_ >= 0) {
      if (!options_.fuse_unk) close_unknown();
      unknown += static_cast<uint32_t>(size);
    }
  }
  close_unknown();
}

void Bpe::merge_short(std::vector<Token>& out, size_t first) const {
  size_t count = out.size() - first;
  if (count < 2) return;
  Token* tokens = out.data() + first;
  std::array<Merge, 64> pairs;  // of token i and the next
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = merges_.find(tokens[i].id, tokens[i + 1].id);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == UINT32_MAX) break;
    tokens[best] = {pairs[best].id, tokens[best].size + tokens[best + 1].size};
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      tokens[i] = tokens[i + 1];
      pairs[i - 1] = pairs[i];
    }
    if (best > 0) pairs[best - 1] = merges_.find(tokens[best - 1].id, tokens[best].id);
    if (best + 1 < count) pairs[best] = merges_.find(tokens[best].id, tokens[best + 1].id);
  }
  out.resize(first + count);
}

// The same with a heap: n log n, for models that see a whole text as one word.
void Bpe::merge_long(std::vector<Token>& out, size_t first, Work& work) const {
  struct Candidate {
    uint32_t rank, at;
    int32_t id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const size_t count = out.size() - first;
  std::vector<Symbol> symbols(count);
  for (size_t i = 0; i < count; ++i) {
    const auto at = static_cast<int32_t>(i);
    symbols[i] = {out[first + i].id, out[first + i].size, at - 1, i + 1 < count ? at + 1 : -1};
  }
  std::vector<Candidate> start;
  const auto candidate = [&](int32_t left, int32_t right) -> Candidate {
    const Merge merge =
        merges_.find(symbols[static_cast<size_t>(left)].id, symbols[static_cast<size_t>(right)].id);
    return {merge.rank, static_cast<uint32_t>(left), merge.id};
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(count); ++i) {
    const Candidate each = candidate(i, i + 1);
    if (each.id >= 0) start.push_back(each);
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue({}, std::move(start));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    work.spend(64);
    Symbol& left = symbols[best.at];
    if (left.size == 0 || left.right < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.right)];
    if (merges_.find(left.id, right.id).id != best.id) continue;  // a neighbour has changed since
    left = {best.id, left.size + right.size, left.left, right.right};
    right.size = 0;
    const auto at = static_cast<int32_t>(best.at);
    if (left.right >= 0) {
      symbols[static_cast<size_t>(left.right)].left = at;
      if (const Candidate next = candidate(at, left.right); next.id >= 0) queue.push(next);
    }
    if (left.left >= 0) {
      if (const Candidate next = candidate(left.left, at); next.id >= 0) queue.push(next);
    }
  }
  out.resize(first);
  for (const Symbol& symbol : symbols) {
    if (symbol.size > 0) out.push_back({symbol.id, symbol.size});
  }
}

BpeOptions read_options(const ModelParts& parts) {
  const Json& options = parts.options;
  const std::string_view where = parts.where;
  if (json_get_or<double>(options, "dropout", 0, where) != 0) {
    fail(ErrorCode::kUnsupported, "{}: BPE with a dropout makes random tokens; set it to null in the file",
         where);
  }
  return {.unk_token = json_get_or<std::string>(options, "unk_token", "", where),
          .prefix = json_get_or<std::string>(options, "continuing_subword_prefix", "", where),
          .suffix = json_get_or<std::string>(options, "end_of_word_suffix", "", where),
          .fuse_unk = json_get_or<bool>(options, "fuse_unk", false, where),
          .byte_fallback = json_get_or<bool>(options, "byte_fallback", false, where),
          .ignore_merges = json_get_or<bool>(options, "ignore_merges", false, where)};
}

}  // namespace

bool can_read_bytes(const ModelParts& parts) {
  const BpeOptions options = read_options(parts);
  if (!options.prefix.empty() || !options.suffix.empty()) return false;
  for (int byte = 0; byte < 256; ++byte) {
    if (!parts.vocabulary.find(byte_letter(static_cast<unsigned char>(byte)))) return false;
  }
  return true;
}

std::unique_ptr<Model> make_bpe(ModelParts& parts, bool raw) {
  return std::make_unique<Bpe>(parts, read_options(parts), raw);
}

}  // namespace bolide::text
