#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/normalized_string.h"

namespace bolide::text {

// Where the characters that a normalizer rewrites stand.
struct Place {
  uint32_t origin;   // their beginning in the original
  size_t max_chars;  // how many they may become
  Work& work;
};

// A step that rewrites text before it is cut. Const methods are thread-safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Rewrites the characters of a part of the text. kUnsupported for a file that makes them more than
  // place.max_chars: a few doublings in a row would take all memory.
  virtual void apply(std::vector<AlignedChar>& chars, const Place& place) const = 0;
  // True only for text that apply() leaves as it is: it then need not be taken apart. False may mean either.
  virtual bool leaves(std::string_view text, Work& work) const = 0;
};

// The normalizer of a tokenizer.json; null for null. kUnsupported names a type that Bolide does not have.
std::unique_ptr<Normalizer> make_normalizer(const Json& part, std::string_view where);

// Throws kUnsupported when these are more characters than the place allows.
void check_size(size_t chars, const Place& place);

// `text` as the normalizer leaves it.
std::string normalized(const Normalizer* normalizer, const std::string& text);

}  // namespace bolide::text
