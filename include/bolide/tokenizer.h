#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bolide {

/// What encode() gives. All vectors have one entry per token.
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t>
      type_ids;  ///< which text of a pair a token belongs to, as the post-processor says (0 without one)
  std::vector<std::pair<int64_t, int64_t>>
      offsets;  ///< [begin, end) in BYTES of the text it came from; (0, 0) for added specials
  std::vector<int8_t>
      sequence;  ///< 0 or 1: which argument of encode_pair; -1 for specials that the post-processor added
};

/// A Hugging Face tokenizer (tokenizer.json, or vocab.json + merges.txt), in C++. Const methods are
/// thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Reads the tokenizer of a model folder. Throws Error: kNotFound without one; kUnsupported naming a part
  /// of tokenizer.json that Bolide does not have; kCorrupt for a damaged file.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& folder);

  /// `text` may hold invalid UTF-8: each bad byte sequence is read as U+FFFD, as Python's errors="replace"
  /// does.
  virtual Encoding encode(std::string_view text, bool add_special_tokens = true) const = 0;
  /// Two texts tokenised as a pair (type_ids and sequence tell them apart).
  virtual Encoding encode_pair(std::string_view first, std::string_view second,
                               bool add_special_tokens = true) const = 0;
  /// Ids outside the vocabulary throw kUsage.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const = 0;

  /// Entries, added tokens included; the largest id is below it unless ids have holes.
  virtual int64_t vocab_size() const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  /// The vocabulary's own spelling (byte-level letters and all); empty for an id that is not there.
  virtual std::string token_of(int32_t id) const = 0;
};

/// Turns ids into text one at a time and never emits part of a character: bytes wait until they are whole
/// UTF-8. The concatenation of all pushes and finish() equals Tokenizer::decode of all ids. Not thread-safe.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}
  /// Text that became certain with this id; often empty for a byte of a longer character.
  std::string push(int32_t id);
  /// What is left, incomplete characters as U+FFFD.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  std::vector<int32_t> ids_;
  size_t window_ = 0;   // ids before it need not be decoded again
  size_t emitted_ = 0;  // bytes of decode(ids_ from window_) already given out
};

}  // namespace bolide
