#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/vocabulary.h"
#include "text/work.h"

namespace bolide::text {

// A token of a word and how many bytes of the word it stands for.
struct Token {
  int32_t id;
  uint32_t size;
};

// Cuts words into tokens. Const methods are thread-safe.
class Model {
 public:
  explicit Model(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  virtual ~Model() = default;
  // Appends the tokens of `word`, which is not empty.
  virtual void tokenize(std::string_view word, std::vector<Token>& out, Work& work) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

// What makes a model: the "model" part of a tokenizer.json, its long tables apart from the rest.
struct ModelParts {
  std::string where;  // the file, for error messages
  Json options;       // all keys but vocab and merges
  Vocabulary vocabulary;
  std::vector<double> scores;  // Unigram only: one for each entry of the vocabulary
  std::vector<std::pair<std::string, std::string>> merges;
};

struct BpeOptions {
  std::string unk_token, prefix, suffix;  // empty: none
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
};

// Whether a BPE model with these parts can read bytes in place of letters: it has all 256 letters and nothing
// that a letter's spelling matters to.
bool can_read_bytes(const ModelParts& parts);

// Each takes the vocabulary out of `parts`. kCorrupt for a table that contradicts itself, kUnsupported for an
// option that Bolide does not have. `raw`: words are bytes, not the letters of bytes.
std::unique_ptr<Model> make_bpe(ModelParts& parts, bool raw);
std::unique_ptr<Model> make_word_piece(ModelParts& parts);
std::unique_ptr<Model> make_unigram(ModelParts& parts);

}  // namespace bolide::text
