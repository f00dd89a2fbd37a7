#pragma once

#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bolide/tokenizer.h"
#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/model.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/word_cache.h"

namespace bolide::text {

// The parts of a tokenizer.json put together: added tokens, normalizer, pre-tokenizer, model, post-processor
// on the way in, decoder on the way out.
class HfTokenizer : public Tokenizer {
 public:
  HfTokenizer(TokenizerFile file, TokenizerOptions options);

  Encoding encode(std::string_view text, bool add_special_tokens) const override;
  Encoding encode_pair(std::string_view first, std::string_view second,
                       bool add_special_tokens) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const override;
  std::unique_ptr<DecodeStream> stream(bool skip_special_tokens) const override;
  int64_t vocab_size() const override;
  std::optional<int32_t> id_of(std::string_view token) const override;
  std::string token_of(int32_t id) const override;

 private:
  class Stream;
  // A cache on loan to one call: each thread gets its own, without a lock held while it works.
  class CacheLoan;

  Encoding encode_all(std::initializer_list<std::string_view> texts, bool add_special_tokens) const;
  Encoding encode_text(std::string_view text, WordCache& cache) const;
  void trim_offsets(const NormalizedString& text, const std::vector<Piece>& added, Encoding& out) const;
  bool has_id(int32_t id) const { return added_->find(id) || model_->vocabulary().token(id); }

  TokenizerOptions options_;
  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<AddedTokens> added_;
  std::unique_ptr<PostProcessor> post_processor_;
  std::unique_ptr<Decoder> decoder_;
  int64_t vocab_size_ = 0;

  mutable std::mutex mutex_;  // guards caches_
  mutable std::vector<std::unique_ptr<WordCache>> caches_;
};

// The tokenizer of parts that were read. kUnsupported names the part that Bolide does not have.
std::unique_ptr<Tokenizer> make_tokenizer(TokenizerFile file, TokenizerOptions options = {});

}  // namespace bolide::text
