#include "cache/page_pool.h"

#include <limits>

#include "base/error.h"

namespace bolide {

PagePool::PagePool(int64_t pages) : pages_(pages) {
  BOLIDE_CHECK(0 < pages && pages <= std::numeric_limits<int32_t>::max(), "{} pages", pages);
  // So that nothing allocates later. Memory that is not written costs nothing.
  references_.reserve(static_cast<size_t>(pages));
  free_.reserve(static_cast<size_t>(pages));
}

std::optional<int32_t> PagePool::take() {
  if (free_.empty()) {
    if (std::ssize(references_) == pages_) return std::nullopt;
    references_.push_back(1);
    return static_cast<int32_t>(references_.size() - 1);
  }
  const int32_t page = free_.back();
  free_.pop_back();
  references_[page] = 1;
  return page;
}

void PagePool::share(int32_t page) {
  BOLIDE_CHECK(references_[page] > 0, "page {} is free", page);
  ++references_[page];
}

void PagePool::release(int32_t page) {
  BOLIDE_CHECK(references_[page] > 0, "page {} is released twice", page);
  if (--references_[page] == 0) free_.push_back(page);  // never allocates: capacity is all pages
}

}  // namespace bolide
