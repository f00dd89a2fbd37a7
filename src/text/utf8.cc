#include "text/utf8.h"

#include <algorithm>

namespace bolide::text {
std::string to_utf8(std::string_view bytes) { return std::string(CleanText(bytes).text()); }

CleanText::CleanText(std::string_view bytes) : text_(bytes) {
  size_t copied = 0;
  for (size_t at = skip_ascii(bytes, 0); at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, at);
    const size_t next = at + step.size;
    if (!step.valid) {
      owned_.append(bytes.substr(copied, at - copied)).append(kReplacement);
      copied = next;
      shifts_.emplace_back(owned_.size(),
                           static_cast<ptrdiff_t>(next) - static_cast<ptrdiff_t>(owned_.size()));
    }
    at = skip_ascii(bytes, next);
  }
  if (shifts_.empty()) return;
  owned_.append(bytes.substr(copied));
  text_ = owned_;
}

size_t CleanText::source(size_t at) const {
  const auto after = std::upper_bound(shifts_.begin(), shifts_.end(), at,
                                      [](size_t place, const auto& shift) { return place < shift.first; });
  if (after == shifts_.begin()) return at;
  return static_cast<size_t>(static_cast<ptrdiff_t>(at) + std::prev(after)->second);
}

}  // namespace bolide::text
