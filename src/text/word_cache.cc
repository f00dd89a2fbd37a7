#include "text/word_cache.h"

#include "text/hash.h"

namespace bolide::text {

void WordCache::clear() {
  slots_.assign(kSlots, 0);
  entries_.clear();
  letters_.clear();
  tokens_.clear();
}

std::span<const Token> WordCache::tokens(const Model& model, std::string_view word, Work& work) {
  if (word.size() > kMaxWordBytes) {
    scratch_.clear();
    model.tokenize(word, scratch_, work);
    return scratch_;
  }
  if (slots_.empty()) clear();
  const uint64_t hash = hash_bytes(word);
  size_t at = hash & (kSlots - 1);
  for (; slots_[at]; at = (at + 1) & (kSlots - 1)) {
    const Entry& entry = entries_[slots_[at] - 1];
    if (entry.hash == hash && std::string_view(letters_).substr(entry.letters, entry.size) == word) {
      return {tokens_.data() + entry.first_token, entry.tokens};
    }
  }
  if (entries_.size() == kMaxWords) {
    clear();
    at = hash & (kSlots - 1);
  }
  const size_t first = tokens_.size();
  model.tokenize(word, tokens_, work);
  entries_.push_back({hash, static_cast<uint32_t>(letters_.size()), static_cast<uint32_t>(first),
                      static_cast<uint16_t>(word.size()), static_cast<uint16_t>(tokens_.size() - first)});
  letters_.append(word);
  slots_[at] = static_cast<uint32_t>(entries_.size());
  return {tokens_.data() + first, tokens_.size() - first};
}

}  // namespace bolide::text
