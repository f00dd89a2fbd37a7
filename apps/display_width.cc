#include "apps/display_width.h"

#include <algorithm>
#include <iterator>

namespace bolide::apps {
namespace {

struct Range {
  char32_t first, last;
};

// Unicode's East Asian Width W and F, neighbours with unassigned characters between them joined. wcwidth()
// would depend on the locale, which a container often does not set.
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},   {0x23F0, 0x23F0},
    {0x23F3, 0x23F3},   {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267F, 0x267F},
    {0x2693, 0x2693},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},
    {0x26CE, 0x26CE},   {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},
    {0x26FA, 0x26FA},   {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},
    {0x274C, 0x274C},   {0x274E, 0x274E},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},
    {0x2E80, 0x303E},   {0x3041, 0x4DBF},   {0x4E00, 0xA4CF},   {0xA960, 0xA97F},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6F},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},
    {0x16FE0, 0x18DFF}, {0x1AFF0, 0x1B2FF}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E},
    {0x1F191, 0x1F19A}, {0x1F1E6, 0x1F320}, {0x1F32D, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7F0},
    {0x1F90C, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD}};

// What never moves the cursor: combining marks of the common scripts, joiners, variation selectors.
constexpr Range kZero[] = {{0x0300, 0x036F},  {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},
                           {0x064B, 0x065F},  {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
                           {0x20D0, 0x20FF},  {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF},
                           {0xE0100, 0xE01EF}};

template <size_t N>
bool within(char32_t point, const Range (&ranges)[N]) {
  const Range* at = std::lower_bound(std::begin(ranges), std::end(ranges), point,
                                     [](const Range& range, char32_t value) { return range.last < value; });
  return at != std::end(ranges) && at->first <= point;
}

// Takes one character off `text`; what is not UTF-8 goes byte by byte, as U+FFFD.
char32_t next_character(std::string_view& text, size_t& bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80           ? 1
                        : (lead >> 5) == 0x6  ? 2
                        : (lead >> 4) == 0xE  ? 3
                        : (lead >> 3) == 0x1E ? 4
                                              : 0;
  bool whole = length > 0 && length <= text.size();
  for (size_t i = 1; whole && i < length; ++i) whole = (byte(i) & 0xC0) == 0x80;
  bytes = whole ? length : 1;
  char32_t point = !whole ? 0xFFFD : length == 1 ? lead : lead & (0x7F >> length);
  for (size_t i = 1; whole && i < length; ++i) point = (point << 6) | (byte(i) & 0x3F);
  text.remove_prefix(bytes);
  return point;
}

size_t width_of(char32_t point) { return within(point, kZero) ? 0 : within(point, kWide) ? 2 : 1; }

// The longest prefix of at most `columns`.
std::string_view prefix(std::string_view text, size_t columns) {
  std::string_view rest = text;
  size_t taken = 0, width = 0, bytes = 0;
  while (!rest.empty()) {
    width += width_of(next_character(rest, bytes));
    if (width > columns) break;
    taken += bytes;
  }
  return text.substr(0, taken);
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0, bytes = 0;
  while (!text.empty()) width += width_of(next_character(text, bytes));
  return width;
}

std::string fit(std::string_view text, size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  constexpr std::string_view kDots = "...";
  if (columns <= kDots.size()) return std::string(prefix(text, columns));
  return std::string(prefix(text, columns - kDots.size())) + std::string(kDots);
}

}  // namespace bolide::apps
