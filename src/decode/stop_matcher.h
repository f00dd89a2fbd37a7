#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bolide {

// Finds stop strings in text that arrives in pieces, and lets out only what can no longer become part of one.
// The outcome does not depend on where the pieces are cut: the stop string that is complete first ends the
// text, and of those complete at the same byte the longest one.
class StopMatcher {
 public:
  // No string may be empty (checked at submit).
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Text that became certain. Once stopped() it is the last text, and later pushes give nothing.
  std::string push(std::string_view text);
  // The text held back, when no more will come.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // a proper prefix of some stop string, until more text decides
  bool stopped_ = false;
};

}  // namespace bolide
