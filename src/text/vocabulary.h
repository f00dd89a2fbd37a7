#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/trie.h"

namespace bolide::text {

// Tokens and their ids, both ways. Ids may have holes and be as large as an int32 holds: memory follows the
// number of entries alone. Const methods are thread-safe.
class Vocabulary {
 public:
  enum class Added { kYes, kTokenKnown, kIdKnown };
  void reserve(size_t entries, size_t bytes);
  Added add(std::string_view token, int32_t id);

  std::optional<int32_t> find(std::string_view token) const;
  // The token of `id`; nullopt for a hole.
  std::optional<std::string_view> token(int32_t id) const;
  size_t size() const { return entries_.size(); }
  // All tokens with their ids.
  Trie trie() const;

 private:
  struct Entry {
    uint32_t offset, size;
    int32_t id;
  };
  std::string_view spelling(const Entry& entry) const {
    return std::string_view(letters_).substr(entry.offset, entry.size);
  }
  void rehash(size_t slots);

  std::string letters_;
  std::vector<Entry> entries_;
  // Open addressing at most half full; a slot is an index into entries_ plus one, 0 is free.
  std::vector<uint32_t> by_token_, by_id_;
};

// What two neighbouring tokens become, and how early: a lower rank merges first.
struct Merge {
  uint32_t rank = UINT32_MAX;
  int32_t id = -1;
};

// Merges by their pair of ids. A pair that comes twice keeps its last rank, as in the `tokenizers` package.
class MergeTable {
 public:
  void reserve(size_t merges);
  void set(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const {
    const uint64_t wanted = key(left, right);
    for (size_t at = slot(wanted);; at = (at + 1) & mask_) {
      const Cell& cell = cells_[at];
      if (cell.key == wanted) return cell.merge;
      if (cell.key == kFree) return {};
    }
  }

 private:
  struct Cell {
    uint64_t key = kFree;
    Merge merge;
  };
  static constexpr uint64_t kFree = UINT64_MAX;  // ids are not negative
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t key) const { return (key * multiplier_) >> shift_; }

  std::vector<Cell> cells_ = std::vector<Cell>(2);
  size_t mask_ = 1;
  int shift_ = 63;
  uint64_t multiplier_ = 1;  // drawn, so that no file can hold pairs that meet in one place
};

}  // namespace bolide::text
