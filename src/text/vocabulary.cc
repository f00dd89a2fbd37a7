#include "text/vocabulary.h"

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "text/hash.h"

namespace bolide::text {
void Vocabulary::reserve(size_t entries, size_t bytes) {
  entries_.reserve(entries);
  letters_.reserve(bytes);
  if (by_token_.size() < 2 * entries) rehash(std::bit_ceil(2 * entries));
}

void Vocabulary::rehash(size_t slots) {
  by_token_.assign(slots, 0);
  by_id_.assign(slots, 0);
  const auto place = [&](std::vector<uint32_t>& table, uint64_t hash, size_t index) {
    size_t at = hash & (slots - 1);
    while (table[at]) at = (at + 1) & (slots - 1);
    table[at] = static_cast<uint32_t>(index + 1);
  };
  for (size_t i = 0; i < entries_.size(); ++i) {
    place(by_token_, hash_bytes(spelling(entries_[i])), i);
    place(by_id_, hash_id(entries_[i].id), i);
  }
}

Vocabulary::Added Vocabulary::add(std::string_view token, int32_t id) {
  if (letters_.size() + token.size() > UINT32_MAX || entries_.size() >= UINT32_MAX / 4) {
    fail(ErrorCode::kResource, "a vocabulary of more than 4 GiB or a thousand million tokens");
  }
  if (2 * (entries_.size() + 1) > by_token_.size()) rehash(std::max<size_t>(16, 2 * by_token_.size()));
  const size_t mask = by_token_.size() - 1;
  size_t token_slot = hash_bytes(token) & mask;
  for (; by_token_[token_slot]; token_slot = (token_slot + 1) & mask) {
    if (spelling(entries_[by_token_[token_slot] - 1]) == token) return Added::kTokenKnown;
  }
  size_t id_slot = hash_id(id) & mask;
  for (; by_id_[id_slot]; id_slot = (id_slot + 1) & mask) {
    if (entries_[by_id_[id_slot] - 1].id == id) return Added::kIdKnown;
  }
  entries_.push_back({static_cast<uint32_t>(letters_.size()), static_cast<uint32_t>(token.size()), id});
  letters_.append(token);
  by_token_[token_slot] = by_id_[id_slot] = static_cast<uint32_t>(entries_.size());
  return Added::kYes;
}

std::optional<int32_t> Vocabulary::find(std::string_view token) const {
  if (entries_.empty()) return std::nullopt;
  const size_t mask = by_token_.size() - 1;
  for (size_t at = hash_bytes(token) & mask; by_token_[at]; at = (at + 1) & mask) {
    const Entry& entry = entries_[by_token_[at] - 1];
    if (spelling(entry) == token) return entry.id;
  }
  return std::nullopt;
}

std::optional<std::string_view> Vocabulary::token(int32_t id) const {
  if (entries_.empty()) return std::nullopt;
  const size_t mask = by_id_.size() - 1;
  for (size_t at = hash_id(id) & mask; by_id_[at]; at = (at + 1) & mask) {
    const Entry& entry = entries_[by_id_[at] - 1];
    if (entry.id == id) return spelling(entry);
  }
  return std::nullopt;
}

Trie Vocabulary::trie() const {
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  tokens.reserve(entries_.size());
  for (const Entry& entry : entries_) tokens.emplace_back(spelling(entry), entry.id);
  return Trie(std::move(tokens));
}

void MergeTable::reserve(size_t merges) {
  const size_t slots = std::bit_ceil(std::max<size_t>(2, 2 * merges));
  mask_ = slots - 1;
  shift_ = 64 - std::countr_zero(slots);
  multiplier_ = kHashSeeds.first | 1;
  cells_.assign(slots, {});
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  const uint64_t wanted = key(left, right);
  size_t at = slot(wanted);
  while (cells_[at].key != kFree && cells_[at].key != wanted) at = (at + 1) & mask_;
  cells_[at] = {wanted, merge};
}

}  // namespace bolide::text
