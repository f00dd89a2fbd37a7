#include "text/regex.h"

#define ONIG_ESCAPE_UCHAR_COLLISION
#include <oniguruma.h>

#include <algorithm>
#include <cstring>
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

constexpr size_t kMaxStack = 20'000'000;  // entries of the matcher, 1 GB of them

// What searches need, one a thread: allocating it for each costs more than a short match does.
struct Engine {
  OnigRegion* region = onig_region_new();
  OnigMatchParam* limits = onig_new_match_param();
  Engine() { onig_initialize_match_param(limits); }
  ~Engine() {
    onig_region_free(region, 1);
    onig_free_match_param(limits);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
};

Engine& engine() {
  thread_local Engine engine;
  return engine;
}

}  // namespace

void Regex::Free::operator()(void* regex) const { onig_free(static_cast<OnigRegex>(regex)); }

Regex::Regex(const std::string& pattern, std::string_view where)
    : where_(where), pattern_(printable(pattern)) {
  constexpr size_t kMaxPattern = 10'000;  // bytes; those of real files have under 1,000
  if (pattern.size() > kMaxPattern) {
    fail(ErrorCode::kUnsupported, "{}: a pattern of {} bytes is longer than the {} that are supported", where,
         pattern.size(), kMaxPattern);
  }
  static std::mutex mutex;  // onig_new is not safe to call from two threads
  std::lock_guard lock(mutex);
  OnigEncoding encoding = ONIG_ENCODING_UTF8;
  onig_initialize(&encoding, 1);
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

bool Regex::search(std::string_view text, size_t from, Work& work) const {
  // Oniguruma can neither be interrupted nor asked how long it took, but it ends a search after so many
  // retries, and one of them goes over what is left of the text at most. So a search starts with few, some 30
  // ms in the worst case; real patterns need ten. Where these are not enough it starts again with four times
  // as many.
  constexpr size_t kFirstCost = 30'000'000, kMin = 256, kMax = 30'000'000;
  const size_t left = text.size() - from;
  for (size_t retries = std::clamp(kFirstCost / std::max<size_t>(left, 1), kMin, kMax);;
       retries = std::min(4 * retries, kMax)) {
    work.spend_time();
    auto& [region, limits] = engine();
    onig_set_retry_limit_in_match_of_match_param(limits, retries);
    onig_set_retry_limit_in_search_of_match_param(limits, retries);
    // An entry takes some 50 bytes; a greedy loop makes one for each character that it takes in.
    onig_set_match_stack_limit_size_of_match_param(
        limits, static_cast<unsigned>(std::min(4 * left + 65'536, kMaxStack)));
    const auto found =
        onig_search_with_param(static_cast<OnigRegex>(regex_.get()), onig(text), onig(text, text.size()),
                               onig(text, from), onig(text, text.size()), region, ONIG_OPTION_NONE, limits);
    if (found >= 0) return true;
    if (found == ONIG_MISMATCH) return false;
    const bool retry =
        found == ONIGERR_RETRY_LIMIT_IN_MATCH_OVER || found == ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER;
    if (retry && retries < kMax) continue;
    const std::string why = retry ? "it backtracks without end"
                            : found == ONIGERR_MATCH_STACK_LIMIT_OVER
                                ? "one match of it goes on for too long"
                                : fmt::format("Oniguruma's fault {}", found);
    fail(ErrorCode::kUnsupported, "{}: the pattern '{}' gave up on a text of {} bytes: {}", where_, pattern_,
         text.size(), why);
  }
}

void Regex::split(std::string_view text, std::vector<Match>& out, Work& work) const {
  size_t done = 0;
  if (!regex_) {
    // memmem, because std::string's own search compares at each place anew.
    while (const void* found =
               memmem(text.data() + done, text.size() - done, literal_.data(), literal_.size())) {
      const auto at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
      push_match(out, &done, at, at + literal_.size());
    }
  } else {
    const OnigRegion* region = engine().region;
    std::optional<size_t> last_match;
    for (size_t from = 0; from <= text.size() && !text.empty() && search(text, from, work);) {
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
