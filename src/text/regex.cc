#include "text/regex.h"

#define ONIG_ESCAPE_UCHAR_COLLISION
#include <oniguruma.h>

#include <mutex>

#include "base/error.h"
#include "base/printable.h"
#include "text/utf8.h"

namespace bolide::text {
namespace {

const OnigUChar* onig(std::string_view text, size_t at = 0) {
  return reinterpret_cast<const OnigUChar*>(text.data()) + at;
}

// Appends what lies before the match [begin, end) and the match itself.
void push_match(std::vector<Match>& out, size_t* done, size_t begin, size_t end) {
  if (*done != begin) out.push_back({*done, begin, false});
  out.push_back({begin, end, true});
  *done = end;
}

// One region a thread: allocating one for each search costs more than a short match does.
struct Region {
  OnigRegion* region = onig_region_new();
  ~Region() { onig_region_free(region, 1); }
};

}  // namespace

void Regex::Free::operator()(void* regex) const { onig_free(static_cast<OnigRegex>(regex)); }

Regex::Regex(const std::string& pattern, std::string_view where) : where_(where) {
  constexpr size_t kMaxPattern = 10'000;  // bytes; those of real files have under 1,000
  if (pattern.size() > kMaxPattern) {
    fail(ErrorCode::kUnsupported, "{}: a pattern of {} bytes is longer than the {} that are supported", where,
         pattern.size(), kMaxPattern);
  }
  static std::mutex mutex;  // onig_new is not safe to call from two threads
  std::lock_guard lock(mutex);
  OnigEncoding encoding = ONIG_ENCODING_UTF8;
  onig_initialize(&encoding, 1);
  // A retry costs some 10 ns: real patterns need a few for each character, and this ends a hostile one in
  // under a second.
  onig_set_retry_limit_in_search(30'000'000);
  OnigRegex regex = nullptr;
  OnigErrorInfo info;
  const int code = onig_new(&regex, onig(pattern), onig(pattern, pattern.size()), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (code != ONIG_NORMAL) {
    OnigUChar message[ONIG_MAX_ERROR_MESSAGE_LEN];
    const int size = onig_error_code_to_str(message, code, &info);
    fail(ErrorCode::kUnsupported, "{}: the pattern '{}' is not one that Oniguruma {} takes ({})", where,
         printable(pattern), onig_version(),
         printable({reinterpret_cast<char*>(message), static_cast<size_t>(size)}));
  }
  regex_.reset(regex);
}

Regex Regex::literal(const std::string& text, std::string_view where) {
  if (text.empty()) return Regex(text, where);  // matches between any two characters: left to the engine
  Regex regex;
  regex.literal_ = text;
  regex.where_ = where;
  return regex;
}

void Regex::split(std::string_view text, std::vector<Match>& out) const {
  size_t done = 0;
  if (!regex_) {
    for (size_t at; (at = text.find(literal_, done)) != text.npos;) {
      push_match(out, &done, at, at + literal_.size());
    }
  } else {
    thread_local Region holder;
    OnigRegion* region = holder.region;
    std::optional<size_t> last_match;
    for (size_t from = 0; from <= text.size() && !text.empty();) {
      const auto found =
          onig_search(static_cast<OnigRegex>(regex_.get()), onig(text), onig(text, text.size()),
                      onig(text, from), onig(text, text.size()), region, ONIG_OPTION_NONE);
      if (found == ONIG_MISMATCH) break;
      if (found < 0) {
        fail(ErrorCode::kUnsupported, "{}: a pattern gave up on a text of {} bytes (Oniguruma code {})",
             where_, text.size(), found);
      }
      const auto begin = static_cast<size_t>(region->beg[0]), end = static_cast<size_t>(region->end[0]);
      if (begin == end && last_match == end) {  // an empty match right behind a match does not count
        from += from < text.size() ? char_size(text[from]) : 1;
        continue;
      }
      push_match(out, &done, begin, end);
      last_match = from = end;
    }
  }
  if (done != text.size()) out.push_back({done, text.size(), false});
}

}  // namespace bolide::text
