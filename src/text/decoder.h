#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/work.h"

namespace bolide::text {

// Where the output of a step of decoding goes: pieces of tokens, and where each token ends.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void put(std::string_view text) = 0;  // a further part of the token at hand
  virtual void end_token() = 0;
  virtual void finish() = 0;  // no token follows; once
};

// What decoding may take, for all steps of a run together.
struct DecodeLimits {
  Work work;
  size_t spelled = 0;  // bytes of the tokens so far, as the vocabulary spells them
};

// A chain of steps that turns tokens into text as they come. What a later token could still change stays
// inside until it cannot, so that decoding one by one and all at once are the same thing.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // A fresh run of the steps, which ends in `out`; both arguments must outlive it.
  virtual std::unique_ptr<TokenSink> start(TokenSink& out, DecodeLimits& limits) const = 0;
};

// The decoder of a tokenizer.json; null joins the tokens with blanks. kUnsupported names a type that Bolide
// does not have.
std::unique_ptr<Decoder> make_decoder(const Json& part, std::string_view where);

// `decoder`, and then what transformers does to the whole text where tokenizer_config.json asks for
// clean_up_tokenization_spaces: blanks before English punctuation and endings go.
std::unique_ptr<Decoder> with_clean_up(std::unique_ptr<Decoder> decoder);

}  // namespace bolide::text
