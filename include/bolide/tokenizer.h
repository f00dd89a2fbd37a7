#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

/// How a tokenizer works.
struct TokenizerOptions {
  /// Asked some hundred times a second by the thread that tokenises or decodes; true ends the call with
  /// kResource. Null: never.
  std::function<bool()> cancelled = {};
};

/// Turns ids into text one at a time; StreamDecoder is the way to one.
class DecodeStream {
 public:
  virtual ~DecodeStream() = default;
  virtual void push(int32_t id, std::string& out) = 0;  ///< appends the text that became certain
  virtual void finish(std::string& out) = 0;            ///< appends what is left; once, at the end
};

/// A Hugging Face tokenizer (tokenizer.json, tokenizer.model, or vocab.json + merges.txt), in C++. Const
/// methods are thread-safe. Ids, decoded text and offsets are those of the Python package `tokenizers`, which
/// counts offsets in characters where this counts bytes. A token that is part of a character spans all of it.
///
/// A tokenizer.json can ask for truncation or padding, mostly left over from a training run. Neither is done,
/// as in Hugging Face transformers: lengths are limited per request, and batches are ragged.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Reads the tokenizer of a model folder: tokenizer.json, else a sentencepiece or tiktoken file
  /// (tokenizer.model and its like), else vocab.json and merges.txt (or encoder.json and vocab.bpe), which
  /// are read as GPT-2's, with <|endoftext|> special. To these come the tokens that tokenizer_config.json,
  /// special_tokens_map.json and added_tokens.json name, as transformers 5 adds them. Throws Error: kNotFound
  /// without one; kUnsupported naming a part of tokenizer.json, or a class of tokenizer, that Bolide does not
  /// have; kCorrupt for a damaged file. `folder` may also be one of its files.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& folder, TokenizerOptions options = {});

  /// `text` may hold invalid UTF-8: each bad byte sequence is read as U+FFFD, as Python's errors="replace"
  /// does; offsets count the bytes as given. A text of more than 128 MiB throws kUsage. A tokenizer.json can
  /// ask for endless work: a text that takes more than 2 s and 2 us a byte, or becomes more than 32 times as
  /// long on the way, throws kUnsupported. Real ones stay far below.
  virtual Encoding encode(std::string_view text, bool add_special_tokens = true) const = 0;
  /// Two texts tokenised as a pair (type_ids and sequence tell them apart).
  virtual Encoding encode_pair(std::string_view first, std::string_view second,
                               bool add_special_tokens = true) const = 0;
  /// Ids outside the vocabulary throw kUsage, and so do those of more than 256 MiB of tokens. What is not
  /// UTF-8 comes out as U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const = 0;
  /// decode() in steps; the tokenizer must outlive it. The stream of this base class decodes all ids anew
  /// with each push: good enough for a tokenizer of a test.
  virtual std::unique_ptr<DecodeStream> stream(bool skip_special_tokens) const;

  /// Entries, added tokens included; the largest id is below it unless ids have holes.
  virtual int64_t vocab_size() const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  /// The vocabulary's own spelling (byte-level letters and all); empty for an id that is not there.
  virtual std::string token_of(int32_t id) const = 0;
};

/// Turns ids into text one at a time and never emits part of a character, nor text that a later id could
/// still change: the concatenation of all pushes and finish() equals Tokenizer::decode of all ids. Not
/// thread-safe.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true)
      : stream_(tokenizer.stream(skip_special_tokens)) {}
  /// Text that became certain with this id; often empty for a byte of a longer character.
  std::string push(int32_t id) {
    std::string text;
    stream_->push(id, text);
    return text;
  }
  /// What is left, incomplete characters as U+FFFD. Once, after the last push.
  std::string finish() {
    std::string text;
    stream_->finish(text);
    return text;
  }

 private:
  std::unique_ptr<DecodeStream> stream_;
};

}  // namespace bolide
