#include "decode/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace bolide {
namespace {

// Length of the longest suffix of `text` that is a proper prefix of `stop`.
size_t open_prefix(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == stop.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

std::string StopMatcher::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t argmax_begin = 0, argmax_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < argmax_end || (end == argmax_end && begin < argmax_begin)) {
      argmax_begin = begin;
      argmax_end = end;
    }
  }
  if (argmax_end != std::string::npos) {
    stopped_ = true;
    held_.resize(argmax_begin);
    return std::exchange(held_, {});
  }
  size_t hold = 0;
  for (const std::string& stop : stops_) hold = std::max(hold, open_prefix(held_, stop));
  std::string certain = held_.substr(0, held_.size() - hold);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

}  // namespace bolide
