#include "text/normal_form.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

constexpr int kUnicodeVersion = 9;

const UNormalizer2* normalizer(bool compatible) {
  UErrorCode code = U_ZERO_ERROR;
  const UNormalizer2* found = compatible ? unorm2_getNFKCInstance(&code) : unorm2_getNFCInstance(&code);
  if (U_FAILURE(code)) fail(ErrorCode::kInternal, "ICU has no normalisation data ({})", u_errorName(code));
  return found;
}

struct Change : CharChange {
  uint8_t combining_class;
};

uint8_t combining_class(char32_t c) {
  if (c < 0x300 || !is_known_to(c, kUnicodeVersion)) return 0;
  return u_getCombiningClass(static_cast<UChar32>(c));
}

void decompose(const UNormalizer2* tables, const std::vector<AlignedChar>& chars, std::vector<Change>& out,
               Work& work) {
  size_t unsorted = 0;  // marks from here on are not in their canonical order yet
  const auto sort_marks = [&] {
    std::stable_sort(out.begin() + static_cast<ptrdiff_t>(unsorted), out.end(),
                     [](const Change& a, const Change& b) { return a.combining_class < b.combining_class; });
    unsorted = out.size();
  };
  const auto push = [&](char32_t c, int change) {
    const uint8_t order = combining_class(c);
    if (order == 0) sort_marks();
    out.push_back({{c, change}, order});
    if (order == 0) unsorted = out.size();
  };
  for (const AlignedChar& each : chars) {
    work.spend(16);
    UChar units[64];  // the longest decomposition has 18 characters
    UErrorCode code = U_ZERO_ERROR;
    int32_t size = -1;
    if (each.c >= 0x80 && is_known_to(each.c, kUnicodeVersion)) {
      size = unorm2_getDecomposition(tables, static_cast<UChar32>(each.c), units, std::size(units), &code);
    }
    if (size < 0 || U_FAILURE(code)) {
      push(each.c, 0);
      continue;
    }
    for (int32_t at = 0; at < size;) {
      const bool first = at == 0;
      UChar32 c;
      U16_NEXT(units, at, size, c);
      push(static_cast<char32_t>(c), first ? 0 : 1);
    }
  }
  sort_marks();
}

char32_t compose_pair(const UNormalizer2* tables, char32_t first, char32_t second) {
  if (second < 0x300) return 0;
  const UChar32 both = unorm2_composePair(tables, static_cast<UChar32>(first), static_cast<UChar32>(second));
  if (both < 0 || !is_known_to(static_cast<char32_t>(both), kUnicodeVersion)) return 0;
  return static_cast<char32_t>(both);
}

// Canonical composition in place: a starter takes in each mark that no other of its class stands before.
void compose(const UNormalizer2* tables, std::vector<Change>& text) {
  size_t size = 0, starter = SIZE_MAX;
  int last_class = -1;  // of the marks kept since the starter; -1: none
  for (size_t i = 0; i < text.size(); ++i) {
    const Change each = text[i];
    if (starter != SIZE_MAX && last_class < each.combining_class) {
      if (const char32_t both = compose_pair(tables, text[starter].c, each.c)) {
        text[starter].c = both;
        text[starter].change += each.change - 1;
        continue;
      }
    }
    if (each.combining_class == 0) {
      starter = size;
      last_class = -1;
    } else if (starter != SIZE_MAX) {
      last_class = each.combining_class;
    }
    text[size++] = each;
  }
  text.resize(size);
}

}  // namespace

void to_normal_form(NormalForm form, std::vector<AlignedChar>& chars, Work& work) {
  if (chars.empty()) return;
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  std::vector<Change> text;
  text.reserve(chars.size() + chars.size() / 4);
  decompose(normalizer(compatible), chars, text, work);
  if (form == NormalForm::kNfc || form == NormalForm::kNfkc) compose(normalizer(false), text);

  apply_changes({text.begin(), text.end()}, chars);
}

bool is_surely_normal(NormalForm form, std::string_view text) {
  // Latin, Greek and Cyrillic letters with their accents are mostly composed in text: below U+0300 nothing
  // changes under NFC.
  const char32_t safe = form == NormalForm::kNfc ? 0x300 : 0x80;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_char(text, at);
    if (c < safe) continue;
    if (form != NormalForm::kNfc) return false;
    const auto code = static_cast<UChar32>(c);
    if (u_getCombiningClass(code) != 0) return false;
    if (u_getIntPropertyValue(code, UCHAR_NFC_QUICK_CHECK) != UNORM_YES) return false;
  }
  return true;
}

}  // namespace bolide::text
