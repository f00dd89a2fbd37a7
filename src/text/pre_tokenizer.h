#pragma once

#include <memory>
#include <string_view>

#include "base/json.h"
#include "text/normalized_string.h"

namespace bolide::text {

// A step that cuts text into the words that the model sees one by one. Const methods are thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(NormalizedString& text) const = 0;
};

// The pre-tokenizer of a tokenizer.json; null for null. kUnsupported names a type that Bolide does not have.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& part, std::string_view where);

// As above for a model that reads bytes: where the last step is ByteLevel it cuts, but leaves the bytes
// themselves rather than writing letters for them. *raw says whether that is so.
std::unique_ptr<PreTokenizer> make_raw_pre_tokenizer(const Json& part, std::string_view where, bool* raw);

}  // namespace bolide::text
