#include "text/charsmap.h"

#include <unicode/ubrk.h>
#include <unicode/utext.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "text/base64.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

// A unit of the trie.
bool has_leaf(uint32_t unit) { return unit >> 8 & 1; }
uint32_t leaf_value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

// Where the grapheme clusters of a text end. The iterator is not thread-safe and costs 20 us to make: one a
// thread.
class Graphemes {
 public:
  Graphemes() {
    UErrorCode code = U_ZERO_ERROR;
    breaks_ = ubrk_open(UBRK_CHARACTER, "", nullptr, 0, &code);
    if (U_FAILURE(code))
      fail(ErrorCode::kInternal, "ICU has no rules of grapheme clusters ({})", u_errorName(code));
  }
  ~Graphemes() { ubrk_close(breaks_); }
  Graphemes(const Graphemes&) = delete;
  Graphemes& operator=(const Graphemes&) = delete;

  template <class F>
  void for_each(std::string_view text, F f) {
    UErrorCode code = U_ZERO_ERROR;
    UText handle = UTEXT_INITIALIZER;
    utext_openUTF8(&handle, text.data(), static_cast<int64_t>(text.size()), &code);
    ubrk_setUText(breaks_, &handle, &code);
    if (U_FAILURE(code)) fail(ErrorCode::kInternal, "ICU cannot read a text ({})", u_errorName(code));
    const std::unique_ptr<UText, decltype(&utext_close)> open(&handle, utext_close);
    int32_t begin = ubrk_first(breaks_);
    for (int32_t end; (end = ubrk_next(breaks_)) != UBRK_DONE; begin = end) {
      f(text.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    }
  }

 private:
  UBreakIterator* breaks_ = nullptr;
};

}  // namespace

Charsmap::Charsmap(std::string_view base64, std::string_view where) {
  const auto corrupt = [&](const char* why) {
    fail(ErrorCode::kCorrupt, "{}: precompiled_charsmap {}", where, why);
  };
  std::string bytes;
  if (!decode_base64(base64, bytes)) corrupt("is not base64");
  uint32_t size = 0;  // of the trie in bytes; all numbers are little-endian
  if (bytes.size() < sizeof(size)) corrupt("is cut short");
  std::memcpy(&size, bytes.data(), sizeof(size));
  if (size == 0 || size > bytes.size() - sizeof(size)) corrupt("is cut short");
  trie_.resize(size / 4);
  std::memcpy(trie_.data(), bytes.data() + sizeof(size), trie_.size() * 4);
  replacements_ = bytes.substr(sizeof(size) + trie_.size() * 4);
  if (trie_.empty()) corrupt("has no rules");
  if (!is_utf8(replacements_)) corrupt("has replacements that are not UTF-8");
}

std::string_view Charsmap::find(std::string_view part) const {
  size_t at = offset(trie_[0]);
  for (const char each : part) {
    const auto byte = static_cast<unsigned char>(each);
    if (byte == 0) break;
    at ^= byte;
    // A damaged trie can lead outside: that is no rule.
    if (at >= trie_.size() || label(trie_[at]) != byte) break;
    const uint32_t unit = trie_[at];
    at ^= offset(unit);
    if (!has_leaf(unit)) continue;
    if (at >= trie_.size()) break;
    const size_t begin = leaf_value(trie_[at]);
    if (begin > replacements_.size()) break;
    if (begin < replacements_.size() && is_continuation(replacements_[begin])) break;
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    return std::string_view(replacements_).substr(begin, end - begin);
  }
  return {};
}

bool Charsmap::rewrite(std::string_view part, int count, std::vector<CharChange>& out) const {
  const std::string_view found = find(part);
  if (!found.data()) return false;
  int made = 0;
  for (size_t at = 0; at < found.size(); ++made) out.push_back({next_char(found, at), made < count ? 0 : 1});
  // Characters that have no counterpart belong to the last one given out, also if that is not of this part.
  if (made < count && !out.empty()) out.back().change -= count - made;
  return true;
}

void Charsmap::apply(std::vector<AlignedChar>& chars, const Place& place) const {
  std::string text;
  for (const AlignedChar& each : chars) append_char(text, each.c);
  std::vector<CharChange> out;
  out.reserve(chars.size());
  const auto by_character = [&](std::string_view part) {
    for (size_t at = 0; at < part.size();) {
      const size_t begin = at;
      const char32_t c = next_char(part, at);
      if (!rewrite(part.substr(begin, at - begin), 1, out)) out.push_back({c, 0});
      check_size(out.size(), place);
    }
  };
  constexpr size_t kLongestCluster = 6;
  thread_local Graphemes graphemes;
  graphemes.for_each(text, [&](std::string_view cluster) {
    place.work.spend(64);
    if (cluster.size() < kLongestCluster) {
      const auto count =
          std::count_if(cluster.begin(), cluster.end(), [](char c) { return !is_continuation(c); });
      if (rewrite(cluster, static_cast<int>(count), out)) return check_size(out.size(), place);
    }
    by_character(cluster);
  });
  apply_changes(out, chars);
}

}  // namespace bolide::text
