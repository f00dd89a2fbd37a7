#pragma once

#include <string>

#include "base/error.h"
#include "bolide/tokenizer.h"

namespace bolide {

// Ids 0..25 are letters, 26..51 are pairs of letters ("aa", "bb", ...), others spell nothing.
class FakeTokenizer final : public Tokenizer {
 public:
  Encoding encode(std::string_view text, bool) const override {
    Encoding encoding;
    for (char c : text) {
      if (c >= 'a' && c <= 'z') encoding.ids.push_back(c - 'a');
    }
    return encoding;
  }
  Encoding encode_pair(std::string_view, std::string_view, bool) const override { return {}; }
  std::string decode(std::span<const int32_t> ids, bool) const override {
    std::string text;
    for (int32_t id : ids) {
      if (id < 0 || id >= vocab_size()) fail(ErrorCode::kUsage, "id {} is outside the vocabulary", id);
      text += token_of(id);
    }
    return text;
  }
  int64_t vocab_size() const override { return 52; }
  std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
  std::string token_of(int32_t id) const override {
    if (id < 0 || id >= 52) return "";
    return std::string(id < 26 ? 1 : 2, static_cast<char>('a' + id % 26));
  }
};

}  // namespace bolide
