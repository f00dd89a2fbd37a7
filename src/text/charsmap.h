#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalizer.h"

namespace bolide::text {

// SentencePiece's compiled rules of normalisation (precompiled_charsmap): a double-array trie (Darts) from
// byte strings to places in a list of replacements, each ended by a NUL. Const methods are thread-safe.
class Charsmap {
 public:
  // kCorrupt naming `where` for what is no such map in base64.
  Charsmap(std::string_view base64, std::string_view where);

  // As the `tokenizers` package does it: a grapheme cluster of under 6 bytes goes as a whole by its shortest
  // prefix that has a rule, any other one character by character.
  void apply(std::vector<AlignedChar>& chars, const Place& place) const;

 private:
  // The replacement for the shortest prefix of `part` that has one; its data is null if none has.
  std::string_view find(std::string_view part) const;
  // Appends the rule's outcome for `part`, `count` characters long; false if there is no rule.
  bool rewrite(std::string_view part, int count, std::vector<CharChange>& out) const;

  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace bolide::text
