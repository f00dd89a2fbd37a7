#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/aligned_text.h"

namespace bolide::text {

// A step that rewrites text before it is cut. Const methods are thread-safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Rewrites the characters of a part of the text that begins at `origin` in the original.
  virtual void apply(std::vector<AlignedChar>& chars, uint32_t origin) const = 0;
  // True only for text that apply() leaves as it is: it then need not be taken apart. False may mean either.
  virtual bool leaves(std::string_view text) const = 0;
};

// The normalizer of a tokenizer.json; null for null. kUnsupported names a type that Bolide does not have.
std::unique_ptr<Normalizer> make_normalizer(const Json& part, std::string_view where);

// `text` as the normalizer leaves it.
std::string normalized(const Normalizer* normalizer, const std::string& text);

}  // namespace bolide::text
