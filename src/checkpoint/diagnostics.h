#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/printable.h"

namespace bolide {

// What is wrong with one checkpoint, gathered so that the user sees all of it at once instead of one fault a
// run.
class Diagnostics {
 public:
  // The first kListed are spelled out, the rest is counted: a folder of the wrong model can have
  // thousands.
  static constexpr size_t kListed = 10;
  explicit Diagnostics(std::string where) : where_(std::move(where)) {}
  void add(std::string finding) {
    ++count_;
    if (listed_.size() < kListed) listed_.push_back(std::move(finding));
  }
  bool empty() const { return count_ == 0; }
  // Throws "where: first; second; ...; and N more" when there are any.
  void raise_if_any(ErrorCode code) const;

 private:
  std::string where_;
  std::vector<std::string> listed_;
  size_t count_ = 0;
};

}  // namespace bolide
