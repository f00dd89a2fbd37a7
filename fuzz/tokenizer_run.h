#pragma once

// What every tokenizer that was read must do.
#include <cstdlib>
#include <string>
#include <string_view>

#include "bolide/tokenizer.h"

namespace bolide {

inline void run_tokenizer(const Tokenizer& tokenizer, std::string_view text) {
  const Encoding encoding = tokenizer.encode_pair(text, text);
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    const auto [begin, end] = encoding.offsets[i];
    if (begin < 0 || begin > end || end > static_cast<int64_t>(text.size())) std::abort();
  }
  StreamDecoder stream(tokenizer);
  std::string streamed;
  for (const int32_t id : encoding.ids) streamed += stream.push(id);
  streamed += stream.finish();
  if (streamed != tokenizer.decode(encoding.ids)) std::abort();
}

}  // namespace bolide
