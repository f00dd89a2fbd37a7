#include "text/gpt2_split.h"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "text/utf8.h"

namespace bolide::text {
namespace {

enum Kind : uint8_t { kOther, kLetter, kNumber, kSpace };

// Kinds of all characters, a page of 256 at a time, each asked of the engine when it is first wanted (15 us).
class Kinds {
 public:
  ~Kinds() {
    for (auto& page : pages_) delete page.load();
  }
  Kind of(char32_t c) {
    const Page* page = pages_[c >> 8].load(std::memory_order_acquire);
    return (*(page ? page : make(c >> 8)))[c & 0xFF];
  }

 private:
  using Page = std::array<Kind, 256>;

  const Page* make(char32_t number) {
    std::lock_guard lock(mutex_);
    if (const Page* made = pages_[number].load(std::memory_order_acquire)) return made;
    auto page = std::make_unique<Page>();
    page->fill(kOther);
    mark(letters_, number, kLetter, *page);
    mark(numbers_, number, kNumber, *page);
    mark(spaces_, number, kSpace, *page);
    pages_[number].store(page.get(), std::memory_order_release);
    return page.release();
  }

  static void mark(const Regex& pattern, char32_t number, Kind kind, Page& page) {
    std::vector<Match> matches;
    Work work(256);
    for (char32_t i = 0; i < 256; ++i) {
      const char32_t c = number << 8 | i;
      if (c >= 0xD800 && c < 0xE000) continue;  // no text has a surrogate
      matches.clear();
      pattern.split(to_string(c), matches, work);
      if (matches.size() == 1 && matches[0].matched) page[i] = kind;
    }
  }

  Regex letters_{"\\p{L}", "GPT-2 split"}, numbers_{"\\p{N}", "GPT-2 split"}, spaces_{"\\s", "GPT-2 split"};
  std::mutex mutex_;
  std::array<std::atomic<const Page*>, 0x1100> pages_{};
};

Kind kind_at(std::string_view text, size_t at) {
  static Kinds kinds;
  return kinds.of(char_at(text, at));
}

// Where the run of characters of `kind` from `at` on ends.
size_t run_end(std::string_view text, size_t at, Kind kind) {
  while (at < text.size() && kind_at(text, at) == kind) at += char_size(text[at]);
  return at;
}

// The length of 's, 't, 're, 've, 'm, 'll or 'd at `at`, where a quote stands; 0 if none.
size_t contraction(std::string_view text, size_t at) {
  const auto letter = [&](size_t i) { return at + i < text.size() ? text[at + i] : '\0'; };
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return letter(2) == 'e' ? 3 : 0;
    case 'l':
      return letter(2) == 'l' ? 3 : 0;
    default:
      return 0;
  }
}

size_t word_end(std::string_view text, size_t begin) {
  if (text[begin] == '\'') {
    if (const size_t size = contraction(text, begin)) return begin + size;
  }
  const Kind first = kind_at(text, begin);
  if (first != kSpace) return run_end(text, begin, first);
  if (text[begin] == ' ' && begin + 1 < text.size()) {
    const Kind next = kind_at(text, begin + 1);
    if (next != kSpace) return run_end(text, begin + 1, next);
  }
  // White space keeps its last character for the word behind it, unless it has only one.
  const size_t end = run_end(text, begin, kSpace);
  if (end == text.size()) return end;
  const size_t last = previous_char(text, end);
  return last > begin ? last : end;
}

}  // namespace

void gpt2_split(std::string_view text, std::vector<Match>& out) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    out.push_back({at, end, true});
    at = end;
  }
}

void gpt2_split_by_regex(std::string_view text, std::vector<Match>& out) {
  static const Regex pattern(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
                             "GPT-2 split");
  Work work(text.size());
  pattern.split(text, out, work);
}

}  // namespace bolide::text
