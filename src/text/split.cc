#include "text/split.h"

#include <algorithm>

#include "base/error.h"
#include "base/printable.h"

namespace bolide::text {

SplitBehavior parse_behavior(const std::string& name, std::string_view where) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  fail(ErrorCode::kUnsupported, "{}: a split behaviour '{}' is not supported", where, printable(name));
}

void apply_behavior(SplitBehavior behavior, std::vector<Match>& matches) {
  if (behavior == SplitBehavior::kRemoved) return;
  if (behavior == SplitBehavior::kIsolated) {
    for (Match& match : matches) match.matched = false;
    return;
  }
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  if (backwards) std::reverse(matches.begin(), matches.end());
  size_t size = 0;
  bool previous = false;  // whether the last one taken was a match
  for (const Match& match : matches) {
    const bool joins =
        behavior == SplitBehavior::kContiguous ? match.matched == previous : match.matched && !previous;
    previous = match.matched;
    if (joins && size > 0) {
      Match& last = matches[size - 1];
      last = {std::min(last.begin, match.begin), std::max(last.end, match.end), false};
    } else {
      matches[size++] = {match.begin, match.end, false};
    }
  }
  matches.resize(size);
  if (backwards) std::reverse(matches.begin(), matches.end());
}

}  // namespace bolide::text
