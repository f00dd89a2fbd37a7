#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/model.h"

namespace bolide::text {

// The tokens of words seen before: text repeats its words, and merging one costs ten times a look-up. Holds
// at most kMaxWords words (some 3 MB with their tokens) and starts afresh when that is full. Not thread-safe.
class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 48;  // longer words hardly come twice

  // The tokens of `word`, from the model where they are not known yet. Valid until the next call.
  std::span<const Token> tokens(const Model& model, std::string_view word, Work& work);

 private:
  static constexpr size_t kMaxWords = size_t{1} << 15, kSlots = 2 * kMaxWords;
  struct Entry {
    uint64_t hash;
    uint32_t letters, first_token;
    uint16_t size, tokens;
  };
  void clear();

  std::vector<uint32_t> slots_;  // open addressing: an index into entries_ plus one, 0 is free
  std::vector<Entry> entries_;
  std::string letters_;
  std::vector<Token> tokens_, scratch_;
};

}  // namespace bolide::text
