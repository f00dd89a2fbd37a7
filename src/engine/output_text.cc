#include "engine/output_text.h"

#include <utility>

namespace bolide {

OutputText::OutputText(const Tokenizer* tokenizer, std::vector<std::string> stops)
    : tokenizer_(tokenizer), matcher_(std::move(stops)) {
  if (tokenizer) decoder_.emplace(*tokenizer);
}

std::string OutputText::push(int32_t id) {
  // Vocabularies are padded (BLOOM: 250,880 rows, 250,680 tokens): a model can make an id that spells
  // nothing.
  if (!decoder_ || tokenizer_->token_of(id).empty()) return {};
  return matcher_.push(decoder_->push(id));
}

std::string OutputText::finish() {
  if (!decoder_ || stopped()) return {};
  std::string text = matcher_.push(decoder_->finish());
  decoder_.reset();
  if (!matcher_.stopped()) text += matcher_.finish();
  return text;
}

}  // namespace bolide
