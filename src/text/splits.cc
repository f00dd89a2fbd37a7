#include "text/splits.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "text/utf8.h"

namespace bolide::text {

void Splits::append(std::string_view token, bool by_place) {
  // The largest real vocabularies (256,000 tokens) look at some 20 MB and make 0.6 million merges of 10 MB:
  // the bounds are a second of work and 500 MB of memory.
  constexpr size_t kMaxLooked = size_t{2} << 30, kMaxBytes = size_t{200} << 20, kMaxMerges = 4'000'000;
  looked_ += token.size() * token.size();
  std::vector<std::tuple<int32_t, int32_t, size_t>> found;
  if (looked_ <= kMaxLooked) {
    for (size_t at = char_size(token[0]); at < token.size(); at += char_size(token[at])) {
      const auto left = find_(token.substr(0, at));
      const auto right = left ? find_(token.substr(at)) : std::nullopt;
      if (right) found.emplace_back(*left, *right, at);
    }
  }
  bytes_ += found.size() * token.size();
  if (looked_ > kMaxLooked || bytes_ > kMaxBytes || merges_.size() + found.size() > kMaxMerges) {
    fail(ErrorCode::kUnsupported, "{}: its tokens are longer than those of any real vocabulary", where_);
  }
  if (by_place) std::sort(found.begin(), found.end());
  for (const auto& [left, right, at] : found) merges_.emplace_back(token.substr(0, at), token.substr(at));
}

}  // namespace bolide::text
